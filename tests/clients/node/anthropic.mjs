import Anthropic from "@anthropic-ai/sdk";
import { caught, given, onEach, run } from "./cases.mjs";

const make = (more = {}) => new Anthropic({ baseURL: given.root, apiKey: given.key, maxRetries: 0, ...more });
const client = make();
const messages = [{ role: "user", content: "Hello" }];
const max_tokens = 50;
const input_schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ name: "get_weather", input_schema }];

const onWires = onEach(given.wires, {
  message: async (wire) => {
    const made = await client.messages.create({ model: `${wire}-plain`, max_tokens, messages, system: "Be kind." });
    return { id: made._request_id, content: made.content, stop: made.stop_reason, tokens: made.usage.output_tokens };
  },
  stream: async (wire) => {
    const stream = client.messages.stream({ model: `${wire}-thinks`, max_tokens, messages });
    const texts = [];
    stream.on("text", (text) => texts.push(text));
    const made = await stream.finalMessage();
    return { texts, kinds: made.content.map((block) => block.type), text: await stream.finalText() };
  },
  tools: async (wire) => {
    const model = `${wire}-weather`;
    const first = await client.messages.stream({ model, max_tokens, messages, tools }).finalMessage();
    const [call] = first.content;
    const result = { type: "tool_result", tool_use_id: call.id, content: "Sunny" };
    const turns = [...messages, { role: "assistant", content: first.content }, { role: "user", content: [result] }];
    const second = await client.messages.create({ model, max_tokens, tools, messages: turns });
    return { name: call.name, input: call.input, stop: first.stop_reason, text: second.content[0].text };
  },
  picture: async (wire) => {
    const source = { type: "base64", media_type: "image/png", data: given.picture };
    const content = [{ type: "image", source }, { type: "text", text: "What?" }];
    const asked = { model: `${wire}-plain`, max_tokens, messages: [{ role: "user", content }] };
    return (await client.messages.create(asked)).content[0].text;
  },
  beta: async (wire) => {
    const asked = { model: `${wire}-plain`, max_tokens, messages, betas: ["context-1m-2025-08-07"] };
    return (await client.beta.messages.create(asked)).content[0].text;
  },
  "count tokens": async (wire) => (await client.messages.countTokens({ model: `${wire}-plain`, messages })).input_tokens,
  "too long": (wire) => caught(client.messages.create({ model: `${wire}-too-full`, max_tokens, messages })),
  "broken stream": (wire) =>
    caught(client.messages.stream({ model: `${wire}-breaks`, max_tokens, messages }).finalMessage()),
  retries: async (wire) => {
    const asked = { model: `${wire}-flaky-anthropic-node`, max_tokens, messages };
    return (await make({ maxRetries: 2 }).messages.create(asked)).content[0].text;
  },
});

await run({
  ...onWires,
  "wrong key": () =>
    caught(make({ apiKey: "sk-wrong" }).messages.create({ model: "chat-plain", max_tokens, messages })),
  limited: () =>
    caught(make({ apiKey: given.limited }).messages.create({ model: "chat-plain", max_tokens, messages })),
  "unknown model": () => caught(client.messages.create({ model: "nope", max_tokens, messages })),
});
