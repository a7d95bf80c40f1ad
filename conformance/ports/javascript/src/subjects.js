// NATS subjects, and where a reply goes (SUBJ-, REQ-2).

import { NatsBridgeError } from "./errors.js";

/** Refuses what NATS cannot carry or what could reach more than was meant (SUBJ-2). */
export function checkSubject(subject, use = "publish") {
  if (typeof subject !== "string" || subject === "") throw refused("the subject is empty");
  // White space by Unicode; U+FEFF is white space to JavaScript alone.
  const at = subject.search(/[\p{White_Space}\p{Cc}]/u);
  if (at >= 0)
    throw refused("the subject holds white space or a control character", utf8Length(subject.slice(0, at)));
  if (!subject.isWellFormed()) throw refused("the subject holds a lone surrogate");
  const tokens = subject.split(".");
  if (tokens.includes("")) throw refused("the subject has an empty token");
  if (use === "publish" && tokens.some((token) => token === "*" || token === ">")) {
    throw refused("wildcards are for subscribing");
  }
  if (tokens.slice(0, -1).includes(">")) throw refused("the wildcard > is not the last token");
}

/** The subject to answer on, or null: the NATS reply subject, else the envelope's own. */
export function replySubject(natsReply, replyTo) {
  const own = natsReply && !natsReply.startsWith("$JS.ACK.") ? natsReply : replyTo;
  return own === "" || own.startsWith("$") ? null : own;
}

/** The envelope fields of a reply (REQ-3, REQ-4), and the dialect it is written in. */
export function replyFields(request) {
  return {
    dialect: request.dialect,
    correlationId: request.correlationId,
    msgPurpose: "response",
    receiverName: request.senderName,
    receiverId: request.senderId,
    replyTo: "",
    replyToMsgId: request.msgId,
  };
}

function refused(message, offset = null) {
  return new NatsBridgeError("invalid_subject", message, { clause: "SUBJ-2", offset });
}

const utf8Length = (text) => new TextEncoder().encode(text).length;
