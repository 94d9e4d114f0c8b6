// Makes a part of the page like a newer one, node by node: what is the same stays the same node, so focus, selection,
// scroll position, open details and what was typed or ticked stay where they are.

const OWN = new Set(["INPUT", "TEXTAREA", "SELECT"]);

/// Makes `old` like `fresh`. Both are elements of the same name.
export function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  attributes(old, fresh);
  if (OWN.has(old.tagName)) return;
  children(old, fresh);
}

function attributes(old, fresh) {
  for (const { name, value } of [...fresh.attributes]) {
    if (old.getAttribute(name) !== value && !belongsToViewer(old, name)) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !belongsToViewer(old, name)) old.removeAttribute(name);
  }
}

// What a person or a script here did, and the server doesn't know of.
function belongsToViewer(element, name) {
  return (
    (element.tagName === "DETAILS" && name === "open") ||
    (OWN.has(element.tagName) && ["value", "checked"].includes(name)) ||
    (element.tagName === "TR" && (name === "tabindex" || name === "class"))
  );
}

const key = (node) => (node.nodeType === Node.ELEMENT_NODE && node.id) || null;
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b);

function children(old, fresh) {
  const byId = new Map([...old.children].filter(key).map((child) => [child.id, child]));
  let place = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    let found = key(wanted) ? byId.get(wanted.id) : place && alike(place, wanted) ? place : null;
    if (!found) found = ahead(place, wanted);
    if (!found) {
      old.insertBefore(document.importNode(wanted, true), place);
      continue;
    }
    // What comes before it here isn't there any more, unless it is wanted later.
    while (place && place !== found && !isWanted(place, fresh)) place = remove(place);
    if (found === place) place = place.nextSibling;
    else old.insertBefore(found, place);
    if (found.nodeType === Node.ELEMENT_NODE) morph(found, wanted);
    else if (found.nodeValue !== wanted.nodeValue) found.nodeValue = wanted.nodeValue;
  }
  while (place) place = remove(place);
}

function ahead(place, wanted) {
  if (key(wanted)) return null;
  for (let node = place; node; node = node.nextSibling) if (alike(node, wanted)) return node;
  return null;
}

const isWanted = (node, fresh) => key(node) && [...fresh.children].some((child) => child.id === node.id);

function remove(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}
