// The page's side of sketchpad.py; sheet.js stands before it.

function render({ model, el }) {
  const [label, brush] = [model.get("label"), model.get("brush")];
  const pad = sheet(model, { ink: "ink", background: "background", label, brush, side: model.get("side") });
  el.append(pad.element);
  undoes(el, () => pad);
  return pad.end;
}

export default { render };
