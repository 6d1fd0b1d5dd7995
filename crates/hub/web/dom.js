// The few DOM helpers every module shares. Text goes in as text nodes only, so nothing that came
// over the network is ever parsed as markup.

export const byId = (id) => document.getElementById(id);

// `props` are properties of the element; `testid` and `data` go to its data attributes.
export function element(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  const { testid, data, aria, ...own } = props;
  Object.assign(node, own);
  if (testid) node.dataset.testid = testid;
  Object.assign(node.dataset, data);
  for (const [name, value] of Object.entries(aria ?? {})) node.setAttribute(`aria-${name}`, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

// Refers to a symbol of the sprite in index.html.
export function icon(name) {
  const SVG = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#icon-${name}`);
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

// Shows `message` under `field`, or takes an earlier one away when it is empty.
export function setFieldError(field, message) {
  byId(`${field.id}-error`).textContent = message;
  field.setAttribute("aria-invalid", String(message !== ""));
}

export const isNearEnd = (box) => box.scrollHeight - box.scrollTop - box.clientHeight < 48;

export const scrollToEnd = (box) => {
  box.scrollTop = box.scrollHeight;
};

const pad = (number, width) => String(number).padStart(width, "0");

export function clock(date) {
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((n) => pad(n, 2)).join(":");
}

export const preciseClock = (date) => `${clock(date)}.${pad(date.getMilliseconds(), 3)}`;

export function byteSize(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export const milliseconds = (ms) => `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
