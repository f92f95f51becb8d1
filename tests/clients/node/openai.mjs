import OpenAI, { toFile } from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { caught, gathered, given, onEach, run } from "./cases.mjs";

const make = (more = {}) => new OpenAI({ baseURL: given.base, apiKey: given.key, maxRetries: 0, ...more });
const client = make();
const messages = [{ role: "user", content: "Hello" }];
const City = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const Weather = z.object({ city: z.string(), degrees: z.number() });
const bytes = Buffer.from("RIFF\r\n--\0".repeat(20_000), "latin1");
const sound = () => toFile(bytes, "grüße.wav", { type: "audio/wav" });

const onWires = onEach(given.wires, {
  chat: async (wire) => {
    const made = await client.chat.completions.create({ model: `${wire}-plain`, messages });
    return { text: made.choices[0].message.content, usage: made.usage };
  },
  stream: async (wire) => {
    const stream = client.chat.completions.stream({
      model: `${wire}-plain`,
      messages,
      stream_options: { include_usage: true },
    });
    const deltas = [];
    stream.on("content", (delta) => deltas.push(delta));
    const made = await stream.finalChatCompletion();
    return { deltas, text: made.choices[0].message.content, usage: made.usage };
  },
  tools: async (wire) => {
    const asked = [];
    const runner = client.chat.completions.runTools({
      model: `${wire}-weather`,
      messages,
      stream: true,
      tools: [
        {
          type: "function",
          function: {
            name: "get_weather",
            parameters: City,
            parse: JSON.parse,
            function: ({ city }) => (asked.push(city), `Sunny in ${city}`),
          },
        },
      ],
    });
    return { text: await runner.finalContent(), asked };
  },
  parse: async (wire) => {
    const response_format = zodResponseFormat(Weather, "weather");
    const made = await client.chat.completions.parse({ model: `${wire}-parsed`, messages, response_format });
    return made.choices[0].message.parsed;
  },
  vision: async (wire) => {
    const parts = [
      { type: "text", text: "What?" },
      { type: "image_url", image_url: { url: given.picture } },
    ];
    const asked = { model: `${wire}-plain`, messages: [{ role: "user", content: parts }] };
    return (await client.chat.completions.create(asked)).choices[0].message.content;
  },
  "broken stream": (wire) =>
    caught(client.chat.completions.create({ model: `${wire}-breaks`, messages, stream: true }).then(gathered)),
  "broken response stream": (wire) =>
    caught(client.responses.create({ model: `${wire}-breaks`, input: "Hello", stream: true }).then(gathered)),
  response: async (wire) => {
    const made = await client.responses.create({ model: `${wire}-plain`, input: "Hello" });
    return { text: made.output_text, status: made.status, usage: made.usage };
  },
  "response stream": async (wire) => {
    const stream = client.responses.stream({ model: `${wire}-thinks`, input: "Hello" });
    const events = await gathered(stream);
    const made = await stream.finalResponse();
    return {
      text: made.output_text,
      numbers: events.map((event) => event.sequence_number),
      ends: [events[0].type, events.at(-1).type],
      items: made.output.map((item) => item.type),
    };
  },
  "response tools": async (wire) => {
    const tools = [{ type: "function", name: "get_weather", parameters: City, strict: false }];
    const input = [{ role: "user", content: "Hello" }];
    const first = await client.responses.create({ model: `${wire}-weather`, input, tools });
    const [call] = first.output;
    input.push(call, { type: "function_call_output", call_id: call.call_id, output: "Sunny" });
    const second = await client.responses.create({ model: `${wire}-weather`, input, tools });
    return { name: call.name, arguments: JSON.parse(call.arguments), text: second.output_text };
  },
  "response parse": async (wire) => {
    const text = { format: zodTextFormat(Weather, "weather") };
    return (await client.responses.parse({ model: `${wire}-parsed`, input: "Hello", text })).output_parsed;
  },
  retries: async (wire) => {
    const patient = make({ maxRetries: 2 });
    const made = await patient.chat.completions.create({ model: `${wire}-flaky-node`, messages });
    return made.choices[0].message.content;
  },
});

const model = "chat-plain";

await run({
  ...onWires,
  "kept response": async () => {
    const first = await client.responses.create({ model: "responses-plain", input: "Hello" });
    const asked = { model: "responses-plain", input: "More", previous_response_id: first.id };
    const second = await client.responses.create(asked);
    const found = await client.responses.retrieve(second.id);
    const items = await gathered(client.responses.inputItems.list(second.id));
    await client.responses.delete(second.id);
    const gone = await caught(client.responses.retrieve(second.id));
    return { text: found.output_text, items: items.length, gone: gone.name };
  },
  completions: async () => {
    const whole = await client.completions.create({ model, prompt: "Hi" });
    const chunks = await gathered(await client.completions.create({ model, prompt: "Hi", stream: true }));
    return [whole.choices[0].text, chunks.map((chunk) => chunk.choices[0].text).join("")];
  },
  rerank: async () => {
    const body = { model, query: "red apple", documents: ["blue sky", "a red apple"], top_n: 1 };
    return (await client.post("/rerank", { body })).results.map((row) => row.index);
  },
  embeddings: async () => {
    const usual = await client.embeddings.create({ model, input: ["a", "b"] });
    const short = await client.embeddings.create({ model, input: "a", encoding_format: "float", dimensions: 2 });
    return [...usual.data, ...short.data].map((row) => row.embedding);
  },
  moderation: async () => {
    const made = await client.moderations.create({ model, input: ["I love you", "I kill you"] });
    return made.results.map((result) => result.flagged);
  },
  speech: async () => {
    const made = await client.audio.speech.create({ model, voice: "alloy", input: "Hello" });
    return Buffer.from(await made.arrayBuffer()).toString("base64");
  },
  transcription: async () => {
    const whole = await client.audio.transcriptions.create({ model, file: await sound() });
    const asked = { model, file: await sound(), stream: true };
    const events = await gathered(await client.audio.transcriptions.create(asked));
    return { text: whole.text, streamed: events.at(-1).text, count: events.length };
  },
  images: async () => {
    const made = await client.images.generate({ model, prompt: "A dot", n: 2 });
    const events = await gathered(
      await client.images.generate({ model, prompt: "A dot", stream: true, partial_images: 1 }),
    );
    const image = await toFile(Buffer.from(made.data[0].b64_json, "base64"), "a.png", { type: "image/png" });
    const edited = await client.images.edit({ model, prompt: "Darker", image });
    const types = events.map((event) => event.type);
    return { count: made.data.length, types, edited: edited.data.length };
  },
  files: async () => {
    const asking = make({ defaultQuery: { model } });
    const file = await asking.files.create({ file: await toFile(Buffer.from("{}\n"), "in.jsonl"), purpose: "batch" });
    const content = await (await asking.files.content(file.id)).text();
    const asked = { input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" };
    const batch = await asking.batches.create(asked);
    const output = await (await asking.files.content(batch.output_file_id)).text();
    const listed = (await gathered(asking.files.list())).some((each) => each.id === file.id);
    const { deleted } = await asking.files.delete(file.id);
    const gone = await caught(asking.files.retrieve(file.id));
    return { content, output, listed, deleted, gone: gone.name };
  },
  "wrong key": () => caught(make({ apiKey: "sk-wrong" }).models.list()),
  limited: () => caught(make({ apiKey: given.limited }).chat.completions.create({ model, messages })),
  "unknown model": () => caught(client.chat.completions.create({ model: "nope", messages })),
  "too long": () => caught(client.chat.completions.create({ model: "chat-too-full", messages })),
});
