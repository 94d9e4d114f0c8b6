// What opens below a button closes by Escape or a click elsewhere; dialogs open by `[data-opens="id"]`.
const MENUS = ".calendar, .choice, .menu";

export function menus() {
  for (const element of document.querySelectorAll(".keys")) element.hidden = false;
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll(`:is(${MENUS})[open]`)) {
      if (!menu.contains(event.target)) menu.open = false;
    }
    const opener = event.target.closest("[data-opens]");
    if (opener) document.getElementById(opener.dataset.opens)?.showModal();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = event.target.closest(`:is(${MENUS})[open]`);
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}
