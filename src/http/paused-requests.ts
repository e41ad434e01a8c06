// Requests whose bodies are not read for now. The library then does not watch their connections at
// all: it learns neither of a reset, nor that a response may be written again, and its own timeout
// is off. So each of them is checked at intervals, until it is resumed.

import type { Micros } from '../../shards/base/units.ts'
import type { StreamedResponse } from './uws.ts'

/** What else is to be done at a check; the connection is there. */
type Checked = (nowUs: Micros) => void

const NOTHING: Checked = () => {}

/** Pauses and resumes requests. */
export class PausedRequests {
  readonly #paused = new Map<StreamedResponse, Checked>()

  /** Number of paused requests. */
  get count(): number {
    return this.#paused.size
  }

  /** Stops reading a request. Call forget() when its response is over. */
  pause(response: StreamedResponse, checked = NOTHING): void {
    this.#paused.set(response, checked)
    response.pause()
  }

  /** Reads on. */
  resume(response: StreamedResponse): void {
    this.#paused.delete(response)
    // A failed write has made the library watch the connection again. It restores what it watched
    // from its last pause() with, or without, unsent bytes, so that must have been since.
    response.pause()
    response.resume()
  }

  /** No-op for a response that is not paused. */
  forget(response: StreamedResponse): void {
    this.#paused.delete(response)
  }

  /** Closes those whose connection has been reset, which calls their onAborted handlers. */
  check(nowUs: Micros): void {
    for (const [response, checked] of this.#paused) {
      // A socket that is not connected has no address at its other end.
      if (response.getRemoteAddress().byteLength === 0) response.close()
      else checked(nowUs)
    }
  }
}
