// A progress bar that is redrawn in place on a terminal, and removed when the process exits by
// itself in any way.

import { SingleBar } from 'cli-progress'

/** Values for the placeholders of the bar's format. */
export type BarTexts = Readonly<Record<string, string | number>>

/** A bar on a terminal. */
export class TerminalBar {
  readonly #bar: SingleBar
  #total: number
  #done = 0
  #texts: BarTexts

  /** @param format in cli-progress's notation. */
  constructor(stream: NodeJS.WriteStream, format: string, total: number, texts: BarTexts) {
    this.#bar = new SingleBar({
      stream, format, clearOnComplete: true, hideCursor: false, noTTYOutput: false,
      stopOnComplete: false, gracefulExit: false, barsize: 28, etaBuffer: 20,
    })
    this.#total = total
    this.#texts = texts
    process.on('exit', this.end)
    this.#draw()
  }

  update(done: number, texts: BarTexts, total = this.#total): void {
    this.#done = done
    this.#texts = texts
    this.#total = total
    this.#bar.setTotal(total)
    this.#bar.update(done, texts)
  }

  /** Writes lines in place of the bar, which is redrawn below them. */
  above(write: () => void): void {
    // Stopped and redrawn, since the bar returns to where it was first drawn: above these lines.
    this.#bar.stop()
    write()
    this.#draw()
  }

  readonly end = (): void => {
    process.off('exit', this.end)
    this.#bar.stop()
  }

  #draw(): void {
    this.#bar.start(this.#total, this.#done, this.#texts)
  }
}
