// A seeded pseudo-random generator. Randomness is injected, so that a failing run can be repeated.
// Thread: any (an instance belongs to one). Memory: four words of its own.
// Never: used where an outsider must not guess the next value; secrets come from node:crypto.
// Source: xoshiro128** 1.1, Blackman and Vigna 2018; seeded through splitmix32.

/** Numbers drawn from a seed; the same seed gives the same numbers on every machine. */
export class Prng {
  #a: number
  #b: number
  #c: number
  #d: number

  /** @param seed any number; its lower 32 bits count. */
  constructor(seed: number) {
    let state = seed | 0
    const next = (): number => {
      state = (state + 0x9e3779b9) | 0
      let mixed = state ^ (state >>> 16)
      mixed = Math.imul(mixed, 0x21f0aaad)
      mixed ^= mixed >>> 15
      mixed = Math.imul(mixed, 0x735a2d97)
      return mixed ^ (mixed >>> 15)
    }
    this.#a = next()
    this.#b = next()
    this.#c = next()
    this.#d = next() | 1 // never all zero
  }

  /** Uniform in 0 … 2^32-1. */
  uint32(): number {
    const scrambled = Math.imul(this.#b, 5)
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9) >>> 0
    const shifted = this.#b << 9
    this.#c ^= this.#a
    this.#d ^= this.#b
    this.#b ^= this.#c
    this.#a ^= this.#d
    this.#c ^= shifted
    this.#d = (this.#d << 11) | (this.#d >>> 21)
    return result
  }

  /** Uniform in [0, 1), with 32 bits of choice. */
  unit(): number {
    return this.uint32() / 4294967296
  }

  /** Uniform whole number in [0, bound). @param bound 1 to 2^32. */
  below(bound: number): number {
    return Math.floor(this.unit() * bound)
  }

  /** Uniform whole number in [low, high], both ends included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** True with the given probability, 0 to 1. */
  chance(probability: number): boolean {
    return this.unit() < probability
  }

  /** One of the choices, each as likely; asserts nothing about an empty list. */
  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T
  }
}
