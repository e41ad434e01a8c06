// Test only: self-signed certificates with their keys, for servers on the loopback. They are
// public, protect nothing, and must never be trusted outside the tests. Valid until 2126.

/** A certificate and its key, both PEM. */
export interface TestCertificate {
  readonly cert: string
  readonly key: string
}

/** For `localhost` and 127.0.0.1. */
export const LOCAL_CERTIFICATE: TestCertificate = {
  cert: `-----BEGIN CERTIFICATE-----
MIIBqzCCAVGgAwIBAgIUQ0U0kMZhH1AIhpFex1y7o0ARooIwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRU2x1aWNlIHRlc3QgbG9jYWwwIBcNMjYxMTIyMTYzNjMxWhgP
MjEyNjEwMjkxNjM2MzFaMBwxGjAYBgNVBAMMEVNsdWljZSB0ZXN0IGxvY2FsMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEq/gUjERCzO9bvBz/3HFRjZsnULIW/FOe
fg95Orib6y4a/dzC2bsSpL0PFh1/E+Qv5VZfPMDZghexQ6Dy2e5NeaNvMG0wHQYD
VR0OBBYEFFJRz/Lpq6eY3GcBeZRNv7Ij0b9tMB8GA1UdIwQYMBaAFFJRz/Lpq6eY
3GcBeZRNv7Ij0b9tMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIEFvfpSUQdZFlBxiEfhLy+wcOsbM
gzZPYVp0TLfAs/lQAiEA7sSpiiWhOZ4I74dCzNRbb7Iu6Bh29oePJCFzzqbZwTI=
-----END CERTIFICATE-----
`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgvwVEi8a5b6DvBfPy
puPDG6YctEtcxzyraEtA8XTK7UChRANCAASr+BSMRELM71u8HP/ccVGNmydQshb8
U55+D3k6uJvrLhr93MLZuxKkvQ8WHX8T5C/lVl88wNmCF7FDoPLZ7k15
-----END PRIVATE KEY-----
`,
}

/** For `other.test` only, so that a client of 127.0.0.1 must refuse it. */
export const OTHER_CERTIFICATE: TestCertificate = {
  cert: `-----BEGIN CERTIFICATE-----
MIIBpjCCAUygAwIBAgIUIG6q48bjetFbhFId1ZbacdS2W0IwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRU2x1aWNlIHRlc3Qgb3RoZXIwIBcNMjYxMTIyMTYzNjMxWhgP
MjEyNjEwMjkxNjM2MzFaMBwxGjAYBgNVBAMMEVNsdWljZSB0ZXN0IG90aGVyMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYNyON5kM3+dzYOyPLw6YfWI1wEYgAL3t
025SlWDILLXxhdpfYIQzJo5Xj+QxHIEpHjhV9cCIhoRRDkgNfNIGGqNqMGgwHQYD
VR0OBBYEFCC+ve/3jlOFLS4nbJw5wPKtP0chMB8GA1UdIwQYMBaAFCC+ve/3jlOF
LS4nbJw5wPKtP0chMBUGA1UdEQQOMAyCCm90aGVyLnRlc3QwDwYDVR0TAQH/BAUw
AwEB/zAKBggqhkjOPQQDAgNIADBFAiEAhNsxlWEgsonNFnLPKpFLvg9apyOIzPdz
Qg5m+B/E89cCIB5sZ/PeC85wkHqOehgM8oyrdJcdoogDWjnxhAp9AwQc
-----END CERTIFICATE-----
`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPA1UBLsI5uo+v/lp
FRbJduDoKCFxGiaf2MX+N1vuUYehRANCAARg3I43mQzf53Ng7I8vDph9YjXARiAA
ve3TblKVYMgstfGF2l9ghDMmjleP5DEcgSkeOFX1wIiGhFEOSA180gYa
-----END PRIVATE KEY-----
`,
}
