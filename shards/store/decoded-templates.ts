// A cache of decoded templates, by slot: an account's jobs are sent one after the other with the
// same template, whose bytes would otherwise be decoded, and URLs split, each time.
// Thread: shard. Memory: a table of objects, at most TEMPLATES_DECODED_MAX.
// Never: decodes, or keeps a slot longer than it is in use: its owner calls forget().
// Direct-mapped by slot; slots are allocated from the lowest up, so few share a place. If two do,
// the newcomer replaces the other one time in REPLACED_ONE_IN. Otherwise more accounts than places,
// sending round robin, would evict each other before any entry is used again, and each template
// would live just long enough to be promoted to the garbage collector's old generation.
// (Qureshi et al., Adaptive Insertion Policies for High Performance Caching, ISCA 2007.)

import { NONE, type TemplateSlot } from '../base/units.ts'
import { TEMPLATES_DECODED_MAX } from '../memory/limits.ts'
import type { Template } from '../wire/codec.ts'

/** One in this many newcomers to an occupied place replaces its entry. */
const REPLACED_ONE_IN = 16

/** A template with its URLs split into the parts that a request needs. Immutable. */
export interface DecodedTemplate extends Readonly<Template> {
  /** Of the URL: scheme, host and port. */
  readonly origin: string
  /** Of the URL: path and query. */
  readonly path: string
  /** The same of the webhook's URL; empty when there is none. */
  readonly webhookOrigin: string
  readonly webhookPath: string
}

/** One shard's cache of recently used templates. */
export class DecodedTemplates {
  readonly #slots: Uint32Array
  readonly #templates: (DecodedTemplate | undefined)[]
  #newcomers = 0

  constructor(count: number = TEMPLATES_DECODED_MAX) {
    this.#slots = new Uint32Array(count).fill(NONE)
    this.#templates = new Array<DecodedTemplate | undefined>(count).fill(undefined)
  }

  /** The template of the slot, if it is cached. */
  find(slot: TemplateSlot): DecodedTemplate | undefined {
    const place = slot % this.#slots.length
    return this.#slots[place] === slot ? this.#templates[place] : undefined
  }

  /** Caches it, unless its place is occupied and not replaced this time. */
  keep(slot: TemplateSlot, template: DecodedTemplate): void {
    const place = slot % this.#slots.length
    const holder = this.#slots[place] as number
    if (holder !== NONE && ++this.#newcomers % REPLACED_ONE_IN !== 0) return
    this.#slots[place] = slot
    this.#templates[place] = template
  }

  /** The slot is free and may be reused for another template. */
  forget(slot: TemplateSlot): void {
    const place = slot % this.#slots.length
    if (this.#slots[place] !== slot) return
    this.#slots[place] = NONE
    this.#templates[place] = undefined
  }
}

/** Splits a template's URLs, which are normalised http(s) URLs. */
export function splitTemplate(template: Template): DecodedTemplate {
  const { userId, url, method, headers, webhookUrl, receiver } = template
  const pathAt = pathStart(url)
  const hookPathAt = webhookUrl === null ? 0 : pathStart(webhookUrl)
  return {
    userId, url, method, headers, webhookUrl, receiver,
    origin: url.slice(0, pathAt),
    path: url.slice(pathAt),
    webhookOrigin: webhookUrl?.slice(0, hookPathAt) ?? '',
    webhookPath: webhookUrl?.slice(hookPathAt) ?? '',
  }
}

/** Where the path begins: at the first slash after the host. */
const pathStart = (url: string): number => url.indexOf('/', url.indexOf('://') + 3)
