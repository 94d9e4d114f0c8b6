// Grids of hours and the bars of a Gantt are walked with the arrow keys; Tab leaves them. `table[data-grid]` holds links in
// its cells.

export function grids() {
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const cell = step && event.target.closest?.("[data-grid] td");
    if (!cell || event.metaKey || event.ctrlKey || event.altKey) return;
    const isOfBars = cell.closest('[data-grid="bars"]');
    const next = isOfBars ? towardsBar(event.target.closest("a"), step) : towards(cell, step);
    if (!next) return;
    event.preventDefault();
    roving(next);
    next.focus();
  });
  document.addEventListener("swapped", start);
  start();
  document.querySelectorAll("[data-grid]").forEach(toNow);
}

/// Where a grid is wider than the screen it begins with what is newest: the last hour, or the last one of the first day.
function toNow(grid) {
  const sheet = grid.closest(".scroll");
  const today = grid.dataset.grid === "days" && [...(grid.tBodies[0]?.rows[0]?.querySelectorAll("td:has(a:not(.due))") ?? [])].at(-1);
  if (sheet) sheet.scrollLeft = today ? today.offsetLeft + 2 * today.offsetWidth - sheet.clientWidth : sheet.scrollWidth;
}

/// Only one link of each grid is a stop of Tab.
function start() {
  for (const grid of document.querySelectorAll("[data-grid]")) {
    const links = [...grid.querySelectorAll("td a")];
    const stop = links.find((link) => link === document.activeElement) ?? grid.querySelector("td a[aria-current]") ?? links.at(-1);
    links.forEach((link) => (link.tabIndex = link === stop ? 0 : -1));
  }
}

function roving(link) {
  link.closest("[data-grid]").querySelectorAll("td a").forEach((other) => (other.tabIndex = other === link ? 0 : -1));
}

/// The next link in a direction; cells without one are passed over.
function towards(cell, [down, right]) {
  const { rows } = cell.closest("tbody");
  let [row, column] = [cell.parentElement.sectionRowIndex, cell.cellIndex];
  for (;;) {
    [row, column] = [row + down, column + right];
    const link = rows[row]?.cells[column];
    if (!link) return null;
    if (link.querySelector("a") && link.tagName === "TD") return link.querySelector("a");
  }
}

/// The next bar of a row; in another row the one that is nearest. Rows without bars are passed over.
function towardsBar(bar, [down, right]) {
  const rows = [...bar.closest("tbody").rows].map((row) => [...row.querySelectorAll("td a")]).filter((bars) => bars.length > 0);
  const row = rows.findIndex((bars) => bars.includes(bar));
  if (right) return rows[row][rows[row].indexOf(bar) + right];
  const distance = (other) => Math.abs(other.getBoundingClientRect().x - bar.getBoundingClientRect().x);
  return rows[row + down]?.reduce((a, b) => (distance(b) < distance(a) ? b : a));
}
