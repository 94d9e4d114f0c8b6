// Rows that are ticked: `input[data-row]` in each, `input[data-rows]` for all. What is for ticked rows only stands in
// `[data-chosen]`, and how many there are in `[data-count]`.

export function select() {
  document.addEventListener("change", (event) => {
    const { target } = event;
    if (target.matches("[data-rows]")) boxes().forEach((box) => (box.checked = target.checked));
    if (target.matches("[data-rows], [data-row]")) show();
  });
  document.addEventListener("swapped", show);
  show();
}

const boxes = () => [...document.querySelectorAll("input[data-row]")];

function show() {
  const all = boxes();
  const chosen = all.filter((box) => box.checked);
  all.forEach((box) => box.closest("tr").classList.toggle("chosen", box.checked));
  for (const box of document.querySelectorAll("[data-rows]")) {
    box.hidden = false;
    box.checked = all.length > 0 && chosen.length === all.length;
    box.indeterminate = chosen.length > 0 && chosen.length < all.length;
  }
  for (const element of document.querySelectorAll("[data-chosen]")) element.hidden = chosen.length === 0;
  for (const element of document.querySelectorAll("[data-count]")) element.textContent = String(chosen.length);
}
