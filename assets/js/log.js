// The log of a task that runs goes on by itself: `[data-follow]` is where what follows comes from, as markup of the service.
// When the part of the page is made anew, its address says where to go on.

/// More than this is in the file that the page links.
const MOST_CHARACTERS = 400_000;
/// The end counts as seen within so many pixels.
const NEAR = 40;

let source = null;
/// Whether the end is shown, whatever comes: people look for how it ended, until they scroll back.
let isAtEnd = true;

export function logs() {
  if (!window.EventSource) return;
  follow();
  document.addEventListener("swapped", follow);
  document.addEventListener("scroll", ({ target }) => target.matches?.("pre.log") && look(target), true);
  // A hidden page takes no place; it is made anew on return.
  document.addEventListener("visibilitychange", () => document.hidden && stop());
  addEventListener("pagehide", stop);
}

function look(log) {
  isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
}

function showEnd(log) {
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

function stop() {
  source?.close();
  source = null;
}

function follow() {
  stop();
  const log = document.querySelector("pre.log");
  if (!log) return;
  showEnd(log);
  if (!log.dataset.follow || document.hidden) return;
  source = new EventSource(log.dataset.follow);
  source.addEventListener("message", ({ data }) => add(log, data));
  source.addEventListener("end", stop);
}

function add(log, markup) {
  log.insertAdjacentHTML("beforeend", markup);
  while (log.textContent.length > MOST_CHARACTERS && log.firstChild !== log.lastChild) log.firstChild.remove();
  const nothing = log.nextElementSibling;
  if (nothing?.classList.contains("empty")) nothing.remove();
  showEnd(log);
}
