// Copying: a click on `button[data-copies]`, a double click on a cell of a table.
import { toast } from "./toast.js";

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`Copied: ${text.length > 80 ? `${text.slice(0, 80)}…` : text}`);
  } catch {
    toast("The browser doesn't let this page copy: select the text and copy it yourself");
  }
}

/// What a cell says, without its label and in full.
export function textOf(cell) {
  const whole = cell.cloneNode(true);
  for (const cut of whole.querySelectorAll("summary, .pill + progress")) cut.remove();
  // Of a text that is cut: where all of it is.
  for (const link of whole.querySelectorAll("a[data-whole]")) link.textContent = link.href;
  return (whole.querySelector("[data-copy]") ?? whole).textContent.trim();
}

// The server writes them hidden, since they do nothing without scripts; so does each part that is updated.
function show() {
  for (const button of document.querySelectorAll("button[data-copies]")) button.hidden = false;
}

export function copying() {
  show();
  document.addEventListener("swapped", show);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copies]");
    if (button) copy(button.dataset.copies);
  });
  document.addEventListener("dblclick", (event) => {
    const cell = event.target.closest("tbody td");
    const busy = event.target.closest("a, button, input, summary");
    if (cell && !busy && textOf(cell)) copy(textOf(cell));
  });
}
