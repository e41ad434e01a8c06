// Requests whose token is being verified, which takes longer than their handler may: they are kept
// as they are, and begin anew once the answer is known, from the cache of verified tokens.

import type { Unchecked } from '../access/authenticator.ts'
import type { Principal } from '../access/principal.ts'
import type { ClientBytes } from '../base/client-bytes.ts'
import { TOKENS_CHECKED_AT_ONCE } from '../base/client-limits.ts'
import { unavailable } from '../base/errors.ts'
import { Exchange } from '../http/exchange.ts'
import type { Handlers } from '../http/server.ts'
import type { HttpResponse } from '../http/uws.ts'
import type { HeldRequest, Holder } from '../peer/held-request.ts'

/**
 * Verifies a token, so that it is known afterwards; never rejects. busy: it is not known.
 * @param client stands for the address of whoever presents it.
 */
export type CheckToken = (token: string, client: number) => Promise<Principal | 'busy' | undefined>

/** Holds requests until their tokens are checked. */
export class HeldTokens implements Holder {
  readonly pool: ClientBytes
  readonly #check: CheckToken
  #underWay = 0

  constructor(pool: ClientBytes, check: CheckToken) {
    this.pool = pool
    this.#check = check
  }

  /** No-op: a request that is gone is not given to the handlers. */
  gone(): void {}

  /**
   * Begins the request anew when its token is checked; answers 503 when too many are.
   * @param client stands for the address of its client.
   * @param hold makes the held request, which must not be done for one that is refused.
   */
  hold(
    { token }: Unchecked, client: number, response: HttpResponse, handlers: Handlers,
    hold: () => HeldRequest,
  ): void {
    if (this.#underWay >= TOKENS_CHECKED_AT_ONCE) {
      return new Exchange(response, false).denied(0, unavailable('overloaded'))
    }
    const held = hold()
    this.#underWay++
    void this.#check(token, client).then((result) => {
      this.#underWay--
      if (result === 'busy') held.deny(unavailable('overloaded'))
      else held.give(handlers)
    })
  }
}
