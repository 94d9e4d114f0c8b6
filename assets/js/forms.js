// Forms that filter: a change is enough, and what is empty isn't written into the address.
// `data-auto` sends on change; `data-confirm` asks before; `data-search` narrows the choices of a list.

export function forms() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const question = event.submitter?.dataset.confirm ?? form.dataset.confirm;
    if (question && !confirm(question)) {
      event.preventDefault();
      return;
    }
    if (form.method === "get") form.querySelectorAll("input, select").forEach((field) => (field.disabled ||= isEmpty(field)));
  });
  // Back from the page that it led to: everything can be used again.
  addEventListener("pageshow", () => {
    document.querySelectorAll('form[method="get"] :disabled').forEach((field) => (field.disabled = false));
  });
  document.addEventListener("change", (event) => {
    const form = event.target.form;
    // A list of choices is sent when it is closed, so that several can be ticked.
    if (form?.dataset.auto !== undefined && !event.target.closest(".choice")) form.requestSubmit();
  });
  for (const choice of document.querySelectorAll("form[data-auto] .choice")) {
    const before = ticked(choice);
    choice.addEventListener("toggle", () => {
      if (!choice.open && ticked(choice) !== before) choice.closest("form").requestSubmit();
    });
  }
  document.addEventListener("input", (event) => {
    const list = event.target.dataset.search !== undefined && event.target.closest("fieldset");
    if (!list) return;
    const wanted = event.target.value.toLowerCase();
    for (const label of list.querySelectorAll("label")) label.hidden = !label.textContent.toLowerCase().includes(wanted);
  });
}

const isEmpty = (field) => field.value === "" && !["checkbox", "radio"].includes(field.type);
const ticked = (choice) => [...choice.querySelectorAll(":checked")].map((box) => box.value).join("\n");
