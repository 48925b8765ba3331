// Elements, made and changed with as little work as possible. Text is only ever text, whoever wrote it.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element. attributes: by name; children: elements and text. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Give an element a text, unless it has it. A text that is there is changed, not replaced: that is less to lay out. */
export function say(element, text) {
  const there = element.firstChild;
  if (there === null || there !== element.lastChild || there.nodeType !== Node.TEXT_NODE) element.textContent = text;
  else if (there.data !== text) there.data = text;
}

export function set(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Make a parent have one child for each key, in this order, keeping those it has: focus and scrolling stay. */
export function keep(parent, items, keyOf, create, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = old.get(key);
    if (child === undefined || wanted.has(child)) {
      child = create(item);
      child.dataset.key = key;
    }
    wanted.add(child);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    update(child, item);
  }
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
}
