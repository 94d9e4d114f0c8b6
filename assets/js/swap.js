// Parts of the page, fetched anew and put in place. `[data-swap="id"]` on a link: it changes only that part.
import { morph } from "./morph.js";
import { times } from "./times.js";

/// Fetches a page and makes the parts of these ids like its own. Answers whether it could.
export async function swap(url, ids, signal) {
  const answer = await fetch(url, { headers: { accept: "text/html" }, credentials: "same-origin", signal });
  if (answer.redirected && new URL(answer.url).pathname.endsWith("/login")) {
    location.reload();
    return false;
  }
  if (!answer.ok) return false;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ids) {
    const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
    if (!old || !fresh) continue;
    morph(old, fresh);
    times(old);
    old.dispatchEvent(new CustomEvent("swapped", { bubbles: true }));
  }
  return true;
}

export function swapping() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-swap]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    swap(link.href, [link.dataset.swap]).catch(() => location.assign(link.href));
  });
}
