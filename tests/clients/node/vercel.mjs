// The Vercel AI SDK with its OpenAI provider: chat models and responses models.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { given, onEach, run } from "./cases.mjs";

const openai = createOpenAI({ baseURL: given.base, apiKey: given.key });

/** A tool that remembers what it was called with. */
function weather() {
  const asked = [];
  const execute = async ({ city }) => (asked.push(city), `Sunny in ${city}`);
  const get_weather = tool({ description: "The weather", inputSchema: z.object({ city: z.string() }), execute });
  return { asked, tools: { get_weather } };
}

const talks = (model) => ({
  whole: async () => {
    const { asked, tools } = weather();
    const options = { tools, prompt: "Hello", stopWhen: stepCountIs(3), maxRetries: 0 };
    const made = await generateText({ model, ...options });
    return { text: made.text, asked, steps: made.steps.length };
  },
  stream: async () => {
    const { asked, tools } = weather();
    const errors = [];
    const onError = ({ error }) => errors.push(String(error));
    const made = streamText({ model, tools, prompt: "Hello", stopWhen: stepCountIs(3), maxRetries: 0, onError });
    const text = await made.text;
    return { text, asked, steps: (await made.steps).length, errors };
  },
});

await run(
  onEach(given.wires, {
    "chat whole": (wire) => talks(openai.chat(`${wire}-weather`)).whole(),
    "chat stream": (wire) => talks(openai.chat(`${wire}-weather`)).stream(),
    "responses whole": (wire) => talks(openai.responses(`${wire}-weather`)).whole(),
    "responses stream": (wire) => talks(openai.responses(`${wire}-weather`)).stream(),
  }),
);
