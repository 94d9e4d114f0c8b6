// How long something is so, second by second: `data-since` holds since when.

export function since() {
  show();
  setInterval(show, 1000);
}

function show() {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("[data-since]")) {
    const text = long((Date.now() - Date.parse(element.dataset.since)) / 1000);
    if (element.textContent !== text) element.textContent = text;
  }
}

function long(seconds) {
  const [days, hours, minutes] = [86400, 3600, 60].map((unit) => Math.floor(Math.max(0, seconds) / unit));
  const parts = [[days, "d"], [hours % 24, "h"], [minutes % 60, "min"], [Math.floor(Math.max(0, seconds)) % 60, "s"]];
  const first = parts.findIndex(([count]) => count > 0);
  return parts.slice(first < 0 ? 3 : first).map(([count, unit]) => `${count} ${unit}`).join(" ");
}
