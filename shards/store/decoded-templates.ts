// Decoded templates, remembered by their slots: the jobs of an account are sent one after the other
// and say the same, so that the same bytes would be decoded and the same URLs split each time.
// Thread: shard. Memory: a table of objects, at most TEMPLATES_DECODED_MAX.
// Never: decodes, or remembers a slot longer than it is in use: its owner says when to forget.
// Direct-mapped by the slot; slots are given out from the lowest on, so few share a place.
// Where two do, the newcomer gets it one time in REPLACED_ONE_IN. Accounts that send in turn, more
// than there are places, would otherwise push each other out before any is used again, and each
// template would have lived for just so long that the garbage collector took it for one that stays.
// (Qureshi et al., Adaptive Insertion Policies for High Performance Caching, ISCA 2007.)

import { NONE, type TemplateSlot } from '../base/units.ts'
import { TEMPLATES_DECODED_MAX } from '../memory/limits.ts'
import type { Template } from '../wire/codec.ts'

/** Of those that come to an occupied place. */
const REPLACED_ONE_IN = 16

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
  #newcomers = 0

  constructor(count: number = TEMPLATES_DECODED_MAX) {
    this.#slots = new Uint32Array(count).fill(NONE)
    this.#templates = new Array<DecodedTemplate | undefined>(count).fill(undefined)
  }

  /** The template of the slot, if it is remembered. */
  find(slot: TemplateSlot): DecodedTemplate | undefined {
    const place = slot % this.#slots.length
    return this.#slots[place] === slot ? this.#templates[place] : undefined
  }

  /** Remembers it, unless its place is another's and stays so. */
  keep(slot: TemplateSlot, template: DecodedTemplate): void {
    const place = slot % this.#slots.length
    const holder = this.#slots[place] as number
    if (holder !== NONE && ++this.#newcomers % REPLACED_ONE_IN !== 0) return
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
