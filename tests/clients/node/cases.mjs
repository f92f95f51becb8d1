// Runs cases one after the other and prints what each came to, as JSON: {"name": {"value": ...} | {"error": {...}}}.
import { text } from "node:stream/consumers";

/** What the test gave: the gateway's addresses and a key. */
export const given = JSON.parse(await text(process.stdin));

/** The error as its client names it. */
export function described(error) {
  const { message, status, code, param } = error;
  return { name: error.constructor.name, message, status, code, param };
}

/** What the promise was rejected with; a case whose error is what it is about. */
export async function caught(promise) {
  try {
    return { missing: "no error", value: await promise };
  } catch (error) {
    return described(error);
  }
}

export async function run(cases) {
  const said = {};
  for (const [name, body] of Object.entries(cases)) {
    try {
      said[name] = { value: (await body()) ?? null };
    } catch (error) {
      said[name] = { error: { ...described(error), stack: error.stack } };
    }
  }
  process.stdout.write(JSON.stringify(said));
}

/** The same cases for each wire, named `wire: case`. */
export function onEach(wires, cases) {
  const all = {};
  for (const wire of wires) {
    for (const [name, body] of Object.entries(cases)) all[`${wire}: ${name}`] = () => body(wire);
  }
  return all;
}

/** Everything that an async iterable gives. */
export async function gathered(iterable) {
  const found = [];
  for await (const each of iterable) found.push(each);
  return found;
}
