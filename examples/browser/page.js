// The page: takes an image, shows what the classifier says.

import {Classifier} from "./classifier.js";

const SHOWN = 5;
const percent = new Intl.NumberFormat("en", {
  style: "percent",
  minimumFractionDigits: 1,
});

const at = (id) => document.getElementById(id);
const loading = Classifier.load("model.tflite", "labels.txt").catch((error) => {
  throw new Error(
    `The model could not be loaded: ${error.message}. Give the server a file ` +
      "as “keras-ft export” writes it by default.",
  );
});

loading.then(
  ({width, height, channels, labels}) => {
    const colors = channels === 1 ? "gray" : "RGB";
    at("model").textContent =
      `${labels.length} classes from ${width} × ${height} pixels, ${colors}`;
  },
  (error) => {
    at("model").textContent = "There is no model to ask.";
    at("file").disabled = true;
    say(error.message);
  },
);

at("file").addEventListener("change", () => {
  const [file] = at("file").files;
  at("file").value = ""; // So that the same file may be chosen again.
  if (file) show(file);
});

// On the whole window: a browser would leave the page for a file let go beside
// the field.
for (const kind of ["dragover", "dragleave", "drop"]) {
  window.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
  });
}
window.addEventListener("drop", ({dataTransfer}) => {
  if (at("file").disabled) return;
  const [file] = dataTransfer.files;
  if (file) show(file);
  else say("That was no file. Save the image first, then drop it here.");
});

async function show(file) {
  try {
    const classifier = await loading;
    const image = await decoded(file);
    const {scores, milliseconds} = await classifier.classify(image, at("seen"));
    const best = scores.sort((a, b) => b.score - a.score).slice(0, SHOWN);
    at("scores").replaceChildren(...best.map(row));
    at("time").textContent = milliseconds.toFixed(1);
    URL.revokeObjectURL(at("photo").src);
    at("photo").src = URL.createObjectURL(file);
    at("invitation").textContent = "Drop another image";
    present(true);
  } catch (error) {
    say(error.message);
  }
}

async function decoded(file) {
  if (!file.type.startsWith("image/")) {
    throw new Error(
      `“${file.name}” is no image. Choose a PNG, JPEG, WebP or GIF.`,
    );
  }
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error(
      `This browser cannot read “${file.name}”: it is damaged or of a kind ` +
        "unknown here. Choose a PNG, JPEG, WebP or GIF.",
    );
  }
}

function row({label, score}) {
  const item = document.createElement("li");
  item.style.setProperty("--score", score);
  for (const text of [label, percent.format(score)]) {
    item.append(document.createElement("span"));
    item.lastChild.textContent = text;
  }
  return item;
}

function say(message) {
  at("message").textContent = message;
  present(false);
}

function present(result) {
  at("message").hidden = result;
  at("result").hidden = at("photo").hidden = !result;
  at("icon").toggleAttribute("hidden", result);
}
