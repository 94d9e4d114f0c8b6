// What a field decides is shown as soon as it is chosen: `data-refresh="id"` names the part of the page that the same
// page has otherwise once the form is sent. What was typed into that part stays where its field stays.
import { swap } from "./swap.js";

export function refreshing() {
  document.addEventListener("change", (event) => {
    const id = event.target.dataset.refresh;
    if (!id) return;
    const form = event.target.form;
    const fields = [...new FormData(form)].filter(([, value]) => value !== "");
    swap(`${form.action}?${new URLSearchParams(fields)}`, [id]).catch(() => {});
  });
}
