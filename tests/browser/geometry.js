// Finds text that can't be read on the page: text that overlaps other text or a control, leaves its box or the
// viewport, or is cut with no way to read the rest. Returns one line for each fault, of the page or of a part of it.
// Evaluated by page_layout.py.
(part) => {
  /// Rounding of the browser, in px.
  const TOLERANCE_PX = 1;
  /// Where spaces are kept, the one at the end of a line hangs out: this much in the widest font.
  const HANGING_PX = 8;
  /// A line of text is this much lower than its font's box, above and below.
  const LEADING = 0.22;
  /// A column may leave this much room unused beside one whose text wraps.
  const MAX_UNUSED_PX = 200;
  const CONTROLS = "input:not([type=hidden]), select, textarea, button, .button, .pill, progress, img, svg.bars, svg.span, a.slot";

  const faults = [];
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) faults.push(`the page is ${wide} px wide`);

  const root = part ?? document.body;
  const styles = new Map();
  const texts = visibleTexts();
  texts.forEach(checkPlace);
  checkWords(texts);
  checkOverlaps(texts);
  const textsOf = Map.groupBy(texts, ({ element }) => element.closest("td, th"));
  textsOf.forEach((items, cell) => textsOf.set(cell, items.map(({ rect }) => rect)));
  root.querySelectorAll("input, textarea, select").forEach(checkField);
  root.querySelectorAll("table").forEach(checkColumns);
  return [...new Set(faults)];

  function say(fault, element, text) {
    const short = text.trim().replace(/\s+/g, " ").slice(0, 40);
    const path = [];
    for (let at = element; at && at !== document.body && path.length < 4; at = at.parentElement) {
      const label = at.dataset?.label ? `[${at.dataset.label}]` : "";
      path.unshift(at.tagName.toLowerCase() + (at.id ? `#${at.id}` : "") + [...at.classList].map((name) => `.${name}`).join("") + label);
    }
    faults.push(`${fault}: "${short}" in ${path.join(" > ")}`);
  }

  function styleOf(element) {
    if (!styles.has(element)) styles.set(element, getComputedStyle(element));
    return styles.get(element);
  }

  // What nobody sees isn't measured: what is closed, and what is only read aloud.
  function isSeen(element) {
    if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) return false;
    for (let at = element; at; at = at.parentElement) {
      if (styleOf(at).clipPath.startsWith("inset(50%")) return false;
    }
    return !element.closest("script, style, title, option, datalist, .skip");
  }

  function visibleTexts() {
    const found = [];
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      if (!node.data.trim() || element.matches("details:not([open])") || !isSeen(element)) continue;
      const range = document.createRange();
      range.selectNodeContents(node);
      for (const rect of range.getClientRects()) {
        if (rect.width > 0.5 && !isScrolledAway(element, rect)) found.push({ node, element, text: node.data, rect: inked(rect), layer: layerOf(element) });
      }
    }
    return found;
  }

  /// What lies above or below the part of a box that is scrolled to.
  function isScrolledAway(element, rect) {
    for (let at = element; at && at !== document.documentElement; at = at.parentElement) {
      if (at.scrollHeight <= at.clientHeight || !/auto|scroll/.test(styleOf(at).overflowY)) continue;
      const box = at.getBoundingClientRect();
      if (rect.top < box.top || rect.bottom > box.bottom) return true;
    }
    return false;
  }

  function inked({ left, right, top, bottom }) {
    const leading = (bottom - top) * LEADING;
    return { left, right, top: top + leading, bottom: bottom - leading };
  }

  /// What opens over the page may cover it.
  function layerOf(element) {
    for (let at = element; at; at = at.parentElement) {
      if (["absolute", "fixed"].includes(styleOf(at).position)) return at;
    }
    return null;
  }

  function checkPlace(item) {
    const { element, text } = item;
    let rect = { ...item.rect };
    const hangingPx = styleOf(element).whiteSpaceCollapse === "preserve" ? HANGING_PX : 0;
    const svg = element.closest("svg");
    if (svg && !element.closest("foreignObject")) return checkDrawn(item, svg);
    for (let at = element; at && at !== document.documentElement; at = at.parentElement) {
      const style = styleOf(at);
      if (style.display === "inline" || style.display === "contents") continue;
      const box = at.getBoundingClientRect();
      const scrolls = /auto|scroll/.test(style.overflowX + style.overflowY);
      const clips = /hidden|clip/.test(style.overflowX + style.overflowY);
      if (clips && sticksOut(rect, box)) {
        // Dots come only where lines are, not in a flex box or a grid.
        const says = style.textOverflow === "ellipsis" && !/flex|grid/.test(style.display);
        const leads = element.closest("[title], summary, a:has(> title)") || at.querySelector("[title]");
        if (!says || !leads) say(says ? "cut with no way to read it" : "cut without a sign", element, text);
        rect = within(rect, box);
      } else if (scrolls) {
        rect = within(rect, box);
        if (rect.left >= rect.right || rect.top >= rect.bottom) return;
      } else if (sticksOut(rect, box, hangingPx)) {
        say(`leaves ${at.tagName.toLowerCase()}${at.className ? `.${at.className}` : ""}`, element, text);
        return;
      }
      if (["absolute", "fixed"].includes(style.position)) break;
    }
    item.rect = rect;
    if (rect.left < -TOLERANCE_PX || rect.right > innerWidth + TOLERANCE_PX) say("leaves the viewport", element, text);
  }

  /// Text of a drawing stays within its box, and within the drawing.
  function checkDrawn(item, svg) {
    const group = item.element.closest("a, g");
    const boxes = [...(group ?? svg).querySelectorAll("rect")].map((rect) => rect.getBoundingClientRect());
    const box = boxes.sort((a, b) => b.width * b.height - a.width * a.height)[0] ?? svg.getBoundingClientRect();
    if (sticksOut(item.rect, box)) say("leaves its box of the drawing", item.element, item.text);
    if (sticksOut(item.rect, svg.getBoundingClientRect())) say("leaves the drawing", item.element, item.text);
    const scroller = svg.closest(".scroll");
    if (scroller) item.rect = within(item.rect, scroller.getBoundingClientRect());
  }

  function sticksOut(rect, box, hangingPx = 0) {
    return rect.left < box.left - TOLERANCE_PX || rect.right > box.right + TOLERANCE_PX + hangingPx
      || rect.top < box.top - TOLERANCE_PX || rect.bottom > box.bottom + TOLERANCE_PX;
  }

  function within(rect, box) {
    return {
      left: Math.max(rect.left, box.left), right: Math.min(rect.right, box.right),
      top: Math.max(rect.top, box.top), bottom: Math.min(rect.bottom, box.bottom),
    };
  }

  /// A short word stays in one line: a column that is narrower takes room from others.
  function checkWords(texts) {
    const lines = Map.groupBy(texts, ({ node }) => node);
    for (const [node, items] of lines) {
      const whole = items[0].element.closest("td, th, li, dd, label, button, h1, h2")?.textContent ?? node.data;
      const isShort = /^[\w.:]{1,14}$/.test(node.data.trim()) && !/\S{40}/.test(whole);
      const tops = new Set(items.map(({ rect }) => Math.round(rect.top)));
      if (isShort && tops.size > 1) say("a short word is broken", items[0].element, node.data);
    }
  }

  function checkOverlaps(texts) {
    const controls = [...root.querySelectorAll(CONTROLS)].filter(isSeen).map((element) => ({
      element, text: element.value || element.textContent || element.tagName, layer: layerOf(element), isControl: true,
      rect: shown(element),
    }));
    const items = [...texts, ...controls].filter(({ rect }) => rect.left < rect.right && rect.top < rect.bottom);
    items.sort((a, b) => a.rect.top - b.rect.top);
    items.forEach((item, index) => {
      for (let next = index + 1; next < items.length && items[next].rect.top < item.rect.bottom; next++) {
        if (overlap(item, items[next])) say(`overlaps "${items[next].text.trim().slice(0, 30)}"`, item.element, item.text);
      }
    });
  }

  /// The part of a control that isn't scrolled out of sight.
  function shown(element) {
    let rect = element.getBoundingClientRect();
    for (let at = element.parentElement; at; at = at.parentElement) {
      if (/auto|scroll|hidden/.test(styleOf(at).overflowX)) rect = within(rect, at.getBoundingClientRect());
    }
    return rect;
  }

  function overlap(a, b) {
    if (a.layer !== b.layer || (a.node && a.node === b.node)) return false;
    if ((a.isControl && a.element.contains(b.element)) || (b.isControl && b.element.contains(a.element))) return false;
    if (a.isControl && b.isControl && (a.element.matches("svg") || b.element.matches("svg"))) return false;
    const wide = Math.min(a.rect.right, b.rect.right) - Math.max(a.rect.left, b.rect.left);
    const high = Math.min(a.rect.bottom, b.rect.bottom) - Math.max(a.rect.top, b.rect.top);
    return wide > TOLERANCE_PX && high > TOLERANCE_PX;
  }

  /// What stands in a field is scrolled; a hint or a choice that doesn't fit must say that it goes on.
  function checkField(field) {
    if (!isSeen(field)) return;
    const style = getComputedStyle(field);
    const isSelect = field.matches("select");
    const text = isSelect ? field.selectedOptions[0]?.text ?? "" : field.value ? "" : field.placeholder ?? "";
    if (!text || field.matches("textarea")) return;
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const room = field.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - (isSelect ? 14 : 0);
    if (canvas.measureText(text).width > room + TOLERANCE_PX && style.textOverflow !== "ellipsis") say("cut without a sign", field, text);
  }

  /// A table gives its room to the columns that need it. A column of free text may have none today.
  function checkColumns(table) {
    if (getComputedStyle(table).display !== "table" || !table.tHead || !isSeen(table.tHead)) return;
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
    if (!rows.length || rows.some((row) => row.cells.length !== heads.length)) return;
    const columns = heads.map((head, index) => {
      const sizes = [head, ...rows.map((row) => row.cells[index])].map(sizeOf);
      const isFree = rows.some((row) => row.cells[index].matches(".say, .code"));
      return { head, isFree, unused: Math.min(...sizes.map((size) => size.unused)), lines: Math.max(...sizes.map((size) => size.lines)) };
    });
    for (const { head, unused } of columns.filter(({ isFree }) => !isFree)) {
      const wraps = columns.some((other) => other.head !== head && other.lines > 1);
      if (wraps && unused > MAX_UNUSED_PX) say(`${Math.round(unused)} px of a column are unused`, table, head.textContent);
    }
  }

  function sizeOf(cell) {
    const box = cell.getBoundingClientRect();
    const controls = [...cell.querySelectorAll(CONTROLS)].filter(isSeen).map((control) => control.getBoundingClientRect());
    const rects = [...(textsOf.get(cell) ?? []), ...controls];
    const used = rects.length ? Math.max(...rects.map((rect) => rect.right)) - Math.min(...rects.map((rect) => rect.left)) : 0;
    const lines = new Set((textsOf.get(cell) ?? []).map((rect) => Math.round(rect.top / 8))).size;
    return { unused: box.width - used, lines };
  }
}
