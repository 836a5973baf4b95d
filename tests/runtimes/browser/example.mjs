// Arguments: a folder with node_modules, the address of examples/browser, and
// files. Gives each to the page, with the keyboard and by dropping it, and
// prints what the page shows then, as JSON.

import fs from "node:fs";
import path from "node:path";

import {withPage} from "./with_page.mjs";

const TYPES = {".png": "image/png", ".txt": "text/plain"};
const [packages, address, ...files] = process.argv.slice(2);

const shown = await withPage(packages, address, async (page) => {
  await page.waitForFunction(
    () => !document.getElementById("model").innerText.startsWith("Loading"),
  );
  const answers = [await state(page)];
  await page.keyboard.press("Tab"); // To the field, where it stays.
  for (const file of files) {
    for (const give of [choose, drop]) {
      await Promise.all([change(page), give(page, file)]);
      answers.push(await state(page));
    }
  }
  return answers;
});
console.log(JSON.stringify(shown));

async function choose(page, file) {
  const chooser = page.waitForFileChooser();
  // Keys take a shorter way than other commands: wait until the page listens.
  await page.evaluate(() => {});
  await page.keyboard.press("Enter");
  await (await chooser).accept([file]);
}

async function drop(page, file) {
  const type = TYPES[path.extname(file)];
  const content = fs.readFileSync(file).toString("base64");
  await page.evaluate(
    async (name, type, content) => {
      const bytes = await fetch(`data:${type};base64,${content}`);
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([await bytes.blob()], name, {type}));
      document
        .getElementById("drop")
        .dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true}));
    },
    path.basename(file),
    type,
    content,
  );
}

// Resolves once the page shows something else. Its code puts all of an answer
// there at once.
function change(page) {
  return page.evaluate(
    () =>
      new Promise((resolve) => {
        const main = document.querySelector("main");
        new MutationObserver(resolve).observe(main, {
          childList: true,
          subtree: true,
        });
      }),
  );
}

// What a visitor can see.
function state(page) {
  return page.evaluate(() => {
    const text = (element) =>
      element.checkVisibility() ? element.innerText : "";
    const [model, message, time] = ["model", "message", "time"].map((id) =>
      text(document.getElementById(id)),
    );
    const scores = [...document.querySelectorAll("#scores li")]
      .filter((item) => item.checkVisibility())
      .map((item) => [...item.children].map(text));
    return {model, message, scores, time};
  });
}
