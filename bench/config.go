package main

// What the configurations of the benches have in common: a secret that is none, and the profile of
// whoever knows it.
const (
	anyKey = `  keyrings: {any: [{peer: any, address: 0.0.0.0/0, pre-shared-key: a bench secret not for use}]}
`
	// hubProfile is that of a hub. More keys of the profile may follow it.
	hubProfile = anyKey + `  profiles:
    any:
      match: {identity: [{fqdn-domain: bench.example.net}]}
      identity: {fqdn: hub.example.net}
      authentication: {local: psk, remote: psk}
      keyring: any
      authorization: {group: {list: local, policy: default}}
      virtual-template: 1
`
	// spokeProfile is that of a spoke, likewise.
	spokeProfile = anyKey + `  profiles:
    any:
      identity: {fqdn: spoke.bench.example.net}
      authentication: {local: psk, remote: psk}
      keyring: any
`
)
