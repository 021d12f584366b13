// The JavaScript side of Snakepit: functions that an Elixir application calls and streams from.
//
//     import { command, stream } from "snakepit-bridge";
//
//     command("summarize", async ({ text, limit = 100 }) => ({ summary: text.slice(0, limit) }));
//
//     stream("train", async function* ({ epochs }, ctx) {
//       for (let epoch = 0; epoch < epochs; epoch++) yield { epoch };
//       return { model: "model.bin" };
//     });

export { Context } from "./context.js";
export {
  Cancelled,
  EncodingError,
  InputFailed,
  InvalidArguments,
  SessionNotFound,
  SnakepitError,
  UnknownCommand,
} from "./errors.js";
export { Final } from "./final.js";
export { bidiStream, clientStream, command, onSessionEnd, onStart, onStop, stream } from "./register.js";
export { version } from "./version.js";
