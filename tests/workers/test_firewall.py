from pipeline.workers import firewall


def test_each_host_may_reach_the_ports_and_nobody_else():
    addresses = ["10.0.0.1:9000", "10.0.0.1:9001", "[fd00::2]:9000", "no-such-host.invalid:9000"]
    _, quote, rules = firewall.command(addresses).partition("nft '")
    added = rules.rstrip("'").split("; add rule inet pipeline input ")[1:]
    ports = "meta l4proto { tcp, udp } th dport { 9000, 9001 }"
    assert quote and added == [
        'iifname "lo" accept',
        f"ip saddr 10.0.0.1 {ports} accept",
        f"ip6 saddr fd00::2 {ports} accept",
        f"ip saddr no-such-host.invalid {ports} accept",
        f"{ports} drop",
    ]
