// Decoded templates, remembered by their slots: the jobs of an account are sent one after the other
// and say the same, so that the same bytes would be decoded and the same URLs split each time.
// Thread: shard. Memory: a table of objects, at most TEMPLATES_DECODED_MAX.
// Never: decodes, or remembers a slot longer than it is in use: its owner says when to forget.
// Direct-mapped by the slot; slots are given out from the lowest on, so few share a place.

import type { Template } from './codec.ts'
import { TEMPLATES_DECODED_MAX } from './limits.ts'
import { NONE, type TemplateSlot } from './units.ts'

/** A template with its URLs in the parts that a request needs. Nobody may change it. */
export interface DecodedTemplate extends Readonly<Template> {
  /** Of the URL: scheme, host and port. */
  readonly origin: string
  /** Of the URL: path and query. */
  readonly path: string
  /** The same of the webhook's URL; empty when there is none. */
  readonly webhookOrigin: string
  readonly webhookPath: string
}

/** The templates of one shard that were used last. */
export class DecodedTemplates {
  readonly #slots: Uint32Array
  readonly #templates: (DecodedTemplate | undefined)[]

  constructor(count: number = TEMPLATES_DECODED_MAX) {
    this.#slots = new Uint32Array(count).fill(NONE)
    this.#templates = new Array<DecodedTemplate | undefined>(count).fill(undefined)
  }

  /** The template of the slot, if it is remembered. */
  find(slot: TemplateSlot): DecodedTemplate | undefined {
    const place = slot % this.#slots.length
    return this.#slots[place] === slot ? this.#templates[place] : undefined
  }

  /** Remembers it in the place of another. */
  keep(slot: TemplateSlot, template: DecodedTemplate): void {
    const place = slot % this.#slots.length
    this.#slots[place] = slot
    this.#templates[place] = template
  }

  /** The slot is free, and may be another template's next. */
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
