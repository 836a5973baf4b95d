// Runs in the page: pictures through each of the browser's runtimes.
// A picture is {width, height, pixels}, of RGB bytes.

import {Tensor, loadAndCompile, loadLiteRt} from "@litertjs/core";
import {FilesetResolver, ImageClassifier} from "@mediapipe/tasks-vision";

const MODEL = "model.tflite";

// Probabilities of each picture, in the model's order.
async function litert(pictures) {
  await loadLiteRt("/node_modules/@litertjs/core/wasm/");
  const model = await loadAndCompile(MODEL, {accelerator: "wasm"});
  const found = [];
  for (const {width, height, pixels} of pictures) {
    const shape = [1, height, width, 3];
    const input = new Tensor(new Float32Array(pixels), shape);
    const [output] = await model.run(input);
    found.push([...(await output.data())]);
    input.delete();
    output.delete();
  }
  return found;
}

// Names and scores of each picture, best first, as an app would get them.
async function mediapipe(pictures) {
  const wasm = await FilesetResolver.forVisionTasks(
    "/node_modules/@mediapipe/tasks-vision/wasm",
  );
  const classifier = await ImageClassifier.createFromModelPath(wasm, MODEL);
  const found = pictures.map((picture) => {
    const [head] = classifier.classify(imageData(picture)).classifications;
    return head.categories.map((c) => [c.categoryName, c.score]);
  });
  classifier.close();
  return found;
}

function imageData({width, height, pixels}) {
  const image = new ImageData(width, height);
  image.data.fill(255);
  for (let i = 0; i < width * height; i++) {
    image.data.set(pixels.slice(3 * i, 3 * i + 3), 4 * i);
  }
  return image;
}

window.runtimes = {litert, mediapipe};
