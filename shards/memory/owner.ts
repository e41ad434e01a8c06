// The owner of a job as one word: the tenant that may see it, and the key that it was submitted by.
// Thread: any. Memory: none; describes a word of job slots and of ring records.
// Never: knows what a tenant or a key may do.
//
//   bits 0 to 15: tenant, 0 without a key   bits 16 to 31: the key's number, 0 for none

const KEY_SHIFT = 16
const TENANT_MASK = 0xffff

export const ownerOf = (tenant: number, key: number): number => (tenant | key << KEY_SHIFT) >>> 0

export const tenantOf = (owner: number): number => owner & TENANT_MASK

export const keyOf = (owner: number): number => owner >>> KEY_SHIFT
