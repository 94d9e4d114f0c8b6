// A line that says what happened, and goes by itself.
const STAYS = 3500;

export function toast(text) {
  const place = document.querySelector(".toasts");
  if (!place) return;
  const element = document.createElement("div");
  element.className = "toast";
  element.textContent = text;
  place.append(element);
  setTimeout(() => element.remove(), STAYS);
}
