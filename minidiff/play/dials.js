// The page's side of Dials, in __init__.py; sheet.js stands before it. What is not in `frames` it asks of Python, one
// at a time, and keeps. On the site there is nobody to ask: there a dial has the values for which all was drawn ahead.

const WIDE = 320; // pixels of the page that a picture takes, at least

function render({ model, el }) {
  const [dials, live] = [model.get("dials"), model.get("live")];
  const [at, frames] = [[...model.get("at")], { ...model.get("frames") }];
  const picture = framed(make("img"));
  const message = make("div", { className: "minidiff-message" });
  message.setAttribute("role", "status");
  let asked; // what Python is drawing

  function move(i, place) {
    at[i] = place;
    model.set("at", [...at]);
    model.save_changes();
    show();
  }

  function show() {
    const frame = frames[at.join()];
    if (frame?.startsWith("data:")) {
      picture.src = frame;
      picture.alt = dials.map(({ name, values }, i) => `${name} ${values[at[i]]}`).join(", ");
    }
    message.textContent = frame === undefined ? "drawing …" : frame.startsWith("data:") ? note : frame;
    if (frame === undefined && !asked) model.send({ at: (asked = [...at]) });
  }

  function receive({ at: place, frame }) {
    if (asked?.join() === place.join()) asked = undefined;
    frames[place.join()] = frame;
    show();
    if (!frame.startsWith("data:")) delete frames[place.join()]; // it may be drawn another time
  }

  const count = (each) => dials.reduce((product, dial) => product * each(dial).length, 1);
  const [ahead, all] = [count((dial) => dial.ahead), count((dial) => dial.values)];
  const note = live || ahead === all ? "" : `${ahead} of ${all} pictures: a running notebook has them all.`;
  const compared = Object.entries(model.get("beside")).map(([name, src]) =>
    make("figure", {}, make("figcaption", {}, name), framed(make("img", { src, alt: name }))),
  );
  el.classList.add("minidiff-play");
  el.replaceChildren(
    ...dials.map((dial, i) => control(dial, live ? [...dial.values.keys()] : dial.ahead, at[i], (to) => move(i, to))),
    make("div", { className: "minidiff-row" }, ...compared, picture),
    message,
  );
  model.on("msg:custom", receive);
  show();
  return () => model.off("msg:custom", receive);
}

// A dial that can be moved to `places` of its values: a slider; buttons for words; a line where there is only one.
function control({ name, values, words }, places, start, move) {
  const box = (tag, ...children) => make(tag, { className: "minidiff-dial" }, ...children);
  if (places.length === 1) return box("div", make("span", {}, name), values[start]);
  if (words) {
    const group = `minidiff-${crypto.getRandomValues(new Uint32Array(1))}`;
    const each = (k) => {
      const input = make("input", { type: "radio", name: group, checked: k === start, onchange: () => move(k) });
      return make("label", {}, input, values[k]);
    };
    return box("fieldset", make("legend", {}, name), ...places.map(each));
  }
  const value = make("span", {});
  const input = make("input", { type: "range", min: 0, max: places.length - 1, value: places.indexOf(start) });
  const say = () => (input.ariaValueText = value.textContent = values[places[input.value]]);
  input.oninput = () => {
    say();
    move(places[input.value]);
  };
  say();
  input.ariaLabel = name; // without the value beside it
  return box("label", make("span", {}, name), input, value);
}

// A picture, enlarged so many times that it is at least WIDE.
function framed(image) {
  image.onload = () => (image.style.width = `${Math.ceil(WIDE / image.naturalWidth) * image.naturalWidth}px`);
  return image;
}

export default { render };
