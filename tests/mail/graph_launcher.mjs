// Starts the Microsoft emulator on 127.0.0.1 and prints its port; ends when stdin closes, that is, with its parent.
// Below /outside/ it adds what Graph has no call for: mail that comes in, and a look at everything there is.
import { once } from "node:events";
import { Server, createServer as probe } from "node:net";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, address, clientId, clientSecret, refreshToken, extra] = process.argv.slice(2);
const { others = [], redirects = [] } = JSON.parse(extra ?? "{}");
const dist = join(modules, "@inbox-zero", "emulate", "dist");
const load = (name) => import(pathToFileURL(join(dist, name)).href);

// The emulator listens on every interface and can't be told otherwise, nor does it say when it does.
const listen = Server.prototype.listen;
let server;
Server.prototype.listen = function (port, ...rest) {
  server = this;
  return listen.call(this, { port: typeof port === "object" ? port.port : port, host: "127.0.0.1" }, ...rest);
};

const port = await new Promise((resolve, reject) => {
  const socket = probe().once("error", reject);
  socket.listen(0, () => {
    const found = socket.address().port;
    socket.close(() => resolve(found));
  });
});

const file = readFileSync(join(dist, "api.js"), "utf8").match(/import\("\.\/([\w-]+\.js)"\);\s*return \{ plugin: mod\.microsoftPlugin/)[1];
const { microsoftPlugin, getMicrosoftStore } = await load(file);
const register = microsoftPlugin.register;
let store;
microsoftPlugin.register = (app, itsStore, ...rest) => {
  store = itsStore;
  const messages = () => getMicrosoftStore(store).messages;
  app.get("/outside/messages", (c) => c.json(messages().all()));
  app.post("/outside/messages", async (c) => {
    const given = await c.req.json();
    const parent = messages().all().find((m) => given.parents.includes(m.internet_message_id));
    const id = `msg_${randomBytes(10).toString("base64url")}`;
    messages().insert({
      microsoft_id: id,
      conversation_id: given.conversation_id ?? parent?.conversation_id ?? randomBytes(16).toString("hex"),
      conversation_index: "",
      user_email: address,
      body_preview: "",
      from_name: null,
      sender_name: null,
      sender_address: given.from_address,
      bcc_recipients: [],
      reply_to: [],
      sent_date_time: given.received_date_time,
      created_date_time: given.received_date_time,
      last_modified_date_time: given.received_date_time,
      is_draft: false,
      is_read: false,
      importance: "normal",
      categories: [],
      has_attachments: false,
      web_link: "",
      in_reply_to_microsoft_id: null,
      ...given,
    });
    return c.json({ id });
  });
  app.post("/outside/grants", async (c) => {
    grant((await c.req.json()).refresh_token);
    return c.json({});
  });
  return register(app, itsStore, ...rest);
};

const grants = new Map();
const grant = (token) => grants.set(token, { email: address, scope: "Mail.ReadWrite", clientId });

const { createEmulator } = await load("api.js");
await createEmulator({
  service: "microsoft",
  port,
  seed: {
    tokens: { outside: { login: address } },
    microsoft: {
      users: [{ email: address, name: "Ada Recruiter" }, ...others.map((email) => ({ email, name: "Another" }))],
      oauth_clients: [
        { client_id: clientId, client_secret: clientSecret, name: "Test", redirect_uris: ["http://127.0.0.1/callback", ...redirects] },
      ],
    },
  },
});
// It comes with examples in every mailbox.
for (const message of getMicrosoftStore(store).messages.all()) getMicrosoftStore(store).messages.delete(message.id);
store.setData("microsoft.oauth.refreshTokens", grants);
grant(refreshToken);
if (!server.listening) await once(server, "listening");
console.log(JSON.stringify({ port }));

process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
process.stdin.on("error", () => process.exit(0));
