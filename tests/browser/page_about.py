"""The about page."""

from playwright.sync_api import expect


def test_the_service_says_what_it_is(person):
    page = person.open("/web/about")
    about = page.locator("#about")
    for text in ["Version", "Uptime", "Schema version", "Pages", "History retention", "Alert for unfinished tasks after", "scheduler"]:
        expect(about).to_contain_text(text)
    sizes = about.locator("table", has_text="Indexes")
    # They are counted beside: on a busy machine the first answer comes before.
    for _ in range(100):
        if sizes.count():
            break
        page.wait_for_timeout(200)
        page.reload()
    expect(sizes).to_contain_text("task")
    up = about.locator("[data-since]")
    before = up.text_content()
    expect(up).not_to_have_text(before)
    person.shoot("about")
