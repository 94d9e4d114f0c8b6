"""The console of the API. That it asks no other host, and breaks no policy, each person notices."""

from playwright.sync_api import expect


def operation(page, tag, summary):
    page.locator("h3.opblock-tag", has_text=tag).click()
    found = page.locator(".opblock", has_text=summary).first
    found.locator(".opblock-summary-control").click()
    return found


def test_a_request_is_sent_from_the_console(person):
    page = person.open("/api/docs")
    silence = operation(page, "alerts", "Silence alerts")
    silence.get_by_role("button", name="Execute").click()
    answer = silence.locator(".live-responses-table")
    expect(answer).to_contain_text("201")
    expect(answer).to_contain_text('"reason"')


def test_what_is_typed_into_the_console_is_no_key_of_the_page(person):
    page = person.open("/api/docs")
    page.get_by_placeholder("Filter by tag").press_sequentially("gtt/j?")
    expect(page.get_by_placeholder("Filter by tag")).to_have_value("gtt/j?")
    assert page.evaluate("location.pathname") == "/api/docs"


def test_the_console_fits_a_small_screen_and_a_dark_one(person):
    for width, dark in [(360, False), (1280, True)]:
        page = person.with_screen(width=width, dark=dark).open("/api/docs")
        operation(page, "service", "Totals of a day")
        assert person.sticks_out(f"console at {width}") == []
        assert page.locator("#console.dark-mode").count() == int(dark)


def test_without_scripts_there_is_the_document(person):
    page = person.with_screen(scripts=False).open("/api/docs")
    expect(page.get_by_role("main")).to_contain_text("The console needs scripts", use_inner_text=True)
    expect(page.get_by_role("link", name="OpenAPI document")).to_have_attribute("href", "/api/v1/openapi.json")
