// Keys: `data-key` names the one that follows a link, like "[" or "g t". The help dialog lists them.
import { copy, textOf } from "./copy.js";
import { turn } from "./times.js";

let first = "";
let forget = null;

export function keys() {
  document.addEventListener("keydown", (event) => {
    if (event.metaKey || event.ctrlKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select, dialog[open], [contenteditable]")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (act(event)) event.preventDefault();
  });
}

function act(event) {
  const keys = first + event.key;
  clearTimeout(forget);
  first = event.key === "g" && !first ? "g " : "";
  if (first) forget = setTimeout(() => (first = ""), 1500);
  const link = document.querySelector(`a[data-key="${CSS.escape(keys)}"]`);
  if (link) return go(link);
  switch (keys) {
    case "?":
      document.getElementById("keys")?.showModal();
      return true;
    case "/":
      return focus(document.querySelector("input[type=search]"));
    case "u":
      turn();
      return true;
    case "j":
      return move(1);
    case "k":
      return move(-1);
    case "x":
      return row()?.querySelector("[data-row]")?.click() ?? true;
    case "c":
      return take();
    case "Enter":
      return event.target === row() && go(row().querySelector("a.open"));
    default:
      return false;
  }
}

function go(link) {
  link?.click();
  return Boolean(link);
}

function focus(element) {
  element?.focus();
  element?.select?.();
  return Boolean(element);
}

const rows = () => [...document.querySelectorAll("main tbody tr")].filter((row) => row.querySelector("a.open"));
const row = () => document.activeElement?.closest("main tbody tr");

function move(by) {
  const all = rows();
  const at = all.indexOf(row());
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by];
  if (!next) return false;
  next.tabIndex = -1;
  next.focus();
  next.scrollIntoView({ block: "nearest" });
  return true;
}

function take() {
  const cell = row()?.querySelector("[data-copy]")?.closest("td");
  if (cell) copy(textOf(cell));
  return Boolean(cell);
}
