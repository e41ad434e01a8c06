// What is used of WebAssembly. Every Node has it; TypeScript declares it for browsers only.

interface WasmMemory {
  readonly buffer: ArrayBuffer
}

/** The library. */
interface WasmLibrary {
  /** In pages, all of them zeros, which the machine provides when they are first written. */
  readonly Memory: new (size: { readonly initial: number }) => WasmMemory
  readonly Module: new (code: Uint8Array) => object
  readonly Instance: new (
    module: object, imports: Readonly<Record<string, Readonly<Record<string, object>>>>,
  ) => { readonly exports: Readonly<Record<string, unknown>> }
}

export const WASM_PAGE_BYTES = 65_536

export const { Instance, Memory, Module } =
  (globalThis as unknown as { readonly WebAssembly: WasmLibrary }).WebAssembly
