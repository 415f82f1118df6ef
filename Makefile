# flexvpn: the two commands of a newcomer are `make demo` and `make test`. Both need root, Debian
# and Go; both install what they need.

VERSION ?= $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 10s
# What the tests and the demo run besides Go.
DEMO_PACKAGES := iproute2 iputils-ping curl
TEST_PACKAGES := $(DEMO_PACKAGES) iperf3 frr openssl nftables conntrack prometheus charon-systemd strongswan-swanctl \
	libcharon-extra-plugins libcharon-extauth-plugins libstrongswan-standard-plugins libstrongswan-extra-plugins
TEST_PACKAGES += bind9 bind9-dnsutils dnsmasq-base isc-dhcp-client udhcpc
TEST_PACKAGES += freeradius freeradius-utils
# What the virtual machine of the kernel data plane's tests needs.
VM_PACKAGES := qemu-system-x86 busybox-static cpio kmod xz-utils
# Peers of the kernel data plane, and what Libreswan stands on: it cannot be installed beside strongSwan.
VM_PACKAGES += openiked libnss3-tools libcap-ng0 libcurl3-nss libevent-core-2.1-7 libevent-pthreads-2.1-7 libldap-2.5-0 libldns3 libunbound8

export CGO_ENABLED := 0

.PHONY: build demo test test-kernel lint fuzz bench clean demo-deps test-deps vm-deps

build:
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/flexvpn ./cmd/flexvpn

demo: demo-deps build
	./bin/flexvpn demo

test: test-deps build lint
	go test -timeout 25m -parallel 4 ./...
	$(MAKE) test-kernel

# The kernel data plane, in virtual machines with Debian's kernels; NATIVE=1 uses this machine's own, RUN=REGEXP
# chooses tests.
test-kernel: test-deps vm-deps build
	RUN='$(RUN)' ./deploy/vm/test-kernel.sh $(if $(NATIVE),native)

lint:
	@out=$$(go tool gofumpt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "not formatted: $$out"; exit 1; }
	go vet ./...
	go tool staticcheck ./...

fuzz:
	./deploy/fuzz.sh $(FUZZTIME)

bench: test-deps vm-deps
	@go run ./bench

demo-deps:
	@./deploy/install.sh $(DEMO_PACKAGES)

test-deps:
	@./deploy/install.sh $(TEST_PACKAGES)

vm-deps:
	@./deploy/install.sh $(VM_PACKAGES)
	@./deploy/unpack.sh libreswan /var/cache/flexvpn-test/libreswan

clean:
	rm -rf bin
