// Regenerate with: go run go_durations.go > go_durations.json

//go:build ignore

// What the real time.ParseDuration makes of a list of texts: corners written by
// hand, then a hundred random compositions. Each row of the output is
// ["text", nanoseconds], or ["text", null] where Go refuses the text. Whatever
// is not printable ASCII is \u-escaped, so that any editor leaves it alone.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
)

// Written by hand, one corner each.
var corners = []string{
	// nothing, zero, signs alone
	"", "0", "+0", "-0", "00", "000", "0.0", "0.", ".0", "1", "-1", "+1", "3.14", ".", "-", "+", "+.", "-.", "--", "+-0", "-+0", "--0", "s", "h", "-s", "+h", ".s", "-.s", "+.5s",
	"0s", "-0s", "+0s", "0h", "00h", "0h0m0s", "0.0s", "0.s", ".0s", "0ns", "-0ns", "00000000000000000000000s",
	// plain values, every unit
	"1h", "8760h", "17520h", "43800h", "87600h", "720h", "60m", "1m", "1s", "+5s", "-5s", "5s", "30s", "1ms", "1us", "1ns", "24h", "0024h", "12h0m0s", "525600m", "31536000s", "31536000000ms", "1.5h", "-1.5h", "+1.5h", "2h45m", "-1m", "1h1m1s1ms1us1ns",
	// micro signs: U+00B5, U+03BC, neighbours
	"1\u00b5s", "1\u03bcs", "3.5\u00b5s", "3.5\u03bcs", "1h2\u00b5s", "-7\u03bcs", "1\u00b5", "1\u03bc", "\u00b5s", "1\u039cs", "1\u00c2\u00b5s", "1\u00b5S", "1us\u00b5s",
	// points and fractions
	".5s", "1.s", "1..s", "1.2.3s", "1.5.s", "..5s", "5.s5.m", "1.h.5m", "1h.5m", "-.5h", "0.1h", "0.001s", "1.0h", "01.50h", "0.5ns", "1.5ns", "1.9ns", "0.9ns", "-1.9ns", "-0.5ns", "0.0000000001s", "0.000000001s", "0.0000000015s", "0.9999999999s", "0.999us", "0.0009us", "0.1us", "0.1ms", "1.0000000000001h", "0.00000000000027778h", "0.00000000000027777h",
	"0.333333333333333333333333h", "0.3333333333333333333h", "0.9223372036854775807h", "0.9223372036854775808h", "0.9223372036854775809h", "0.100000000000000000000h", "0.10000000000000000000000000000000000000001h", "1.000000000000000000000000000001s", "0.830103483285477580700h", "1.99999999999999999999s", "0.6666666666666666666m", ".9999999999999999999999h", "0.00000000000000000000000000001h",
	// the edge of int64
	"9223372036854775807ns", "9223372036854775808ns", "-9223372036854775807ns", "-9223372036854775808ns", "-9223372036854775809ns", "+9223372036854775808ns", "9223372036854775.807us", "9223372036854775.808us", "-9223372036854775.808us", "9223372036854ms775us807ns", "9223372036854ms775us808ns", "-9223372036854ms775us808ns", "-9223372036854ms775us809ns", "9223372036.854775807s", "9223372036.854775808s", "-9223372036.854775808s", "-9223372036.854775809s", "9223372036s854775807ns", "9223372036s854775808ns", "2562047h47m16.854775807s", "2562047h47m16.854775808s", "-2562047h47m16.854775808s", "-2562047h47m16.854775809s", "2562047h47m16s854ms775us807ns", "2562047h47m16s854ms775us808ns", "2562047h", "2562048h", "-2562048h", "2562047.788015215h", "2562047.7880152156h", "2562047.99h", "153722867m", "153722868m", "153722867m16.854775807s", "153722867m16.854775808s", "9223372036854775807s", "9223372036854775807h", "9223372036854775808h", "9223372036854775809ns", "18446744073709551615ns", "18446744073709551616ns", "18446744073709551617ns", "99999999999999999999ns", "999999999999999999999999999999999999h", "000000000000000000000000000000000001h", "-00000000000000000000000000000001.5h", "3000000h", "5124095h34m", "5124095h34m33.709551616s",
	"4611686018427387904ns4611686018427387903ns", "4611686018427387904ns4611686018427387904ns", "-4611686018427387904ns4611686018427387904ns", "4611686018427387904ns4611686018427387904ns1ns", "9223372036854775807ns0ns", "9223372036854775807ns1ns", "-9223372036854775807ns1ns", "9223372036854775808ns1ns", "-9223372036854775808ns0.5ns", "1h9223372036854775807ns", "2562047h47m16.854775807s0.9ns", "2562047h47m16.854775807s1ns", "0h2562048h", "1281023h1281023h1h", "1281024h1281024h",
	// a service token's life: a hundred years, and past it
	"876000h", "876000h1ns", "876001h", "875999h59m59.999999999s", "876000.0000001h", "52560000m", "3153600000s", "-876000h", "106751d", "106751.99167h",
	// spaces and other bytes that are not units
	" 1h", "1h ", "1 h", "1h 30m", " ", "\t1h", "1h\n", "1h\r\n", "\u00a01h", "1h\u200b", "\ufeff1h", "1h\x00", "\x001h", "1\x00h", "\x00", "1h\x7f",
	// units Go does not know
	"1d", "1w", "1y", "1mo", "1M", "1H", "1S", "1MS", "1NS", "1Ms", "1hour", "1hours", "1hr", "1min", "1sec", "1secs", "1 hour", "1h1d", "1d1h", "1m30", "30m1", "1h30", "1hm", "1msm", "1mss", "1nss", "1hh", "1sns", "1us1", "1u", "1n", "1ps", "1PT1H", "PT1H", "P1D", "P1Y", "1:30", "01:00:00",
	// not durations at all
	"forever", "Inf", "+Inf", "-Inf", "inf", "infinity", "NaN", "nan", "null", "true", "never", "abc", "h1", "1e3s", "1E3s", "1e3", "1e-3s", "0x10s", "0b1s", "0o7s", "1_000s", "1,000s", "1,5h", "1'000s", "5s-", "5-s", "5s+", "--5s", "++5s", "- 5s", "+ 5s", "-\u22125s", "\u22125s", "1h-2m", "1h+2m", "-1h-2m", "1h,2m", "1h;", "\"1h\"", "1h\"", "1h\\", "$1h", "%31h", "1h#", "1/2h", "\u00bdh", "\u0663h", "\uff11h", "1\uff48", "\uff11\uff12\uff53", "\u00b2s", "1\u0440s", "\U0001d7cfh", "\U0001f550", "1h\u0301",
	// units again and in any order
	"1h1h", "1m1m1m", "1s1h", "1ns1us", "1ms1m", "5s5s5s5s", "1h0.5h", "1m60s", "39h9m14.425s", "1h30m10.5s", "1h15m30.918273645s", "1h59m59s999ms999us999ns", "10s10ms10us10\u00b5s10\u03bcs10ns", "3s-", "1.5m0.5s", "52763797000ns", "0.3s0.3s0.3s",
}

// A small generator of its own (SplitMix64), so that the rows never depend on
// which Go made them.
type mix uint64

func (m *mix) next() uint64 {
	*m += 0x9e3779b97f4a7c15
	z := uint64(*m)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (m *mix) below(n int) int { return int(m.next() % uint64(n)) }

func (m *mix) pick(of []string) string { return of[m.below(len(of))] }

func (m *mix) digits(most int) string {
	var b strings.Builder
	for n := 1 + m.below(most); n > 0; n-- {
		b.WriteByte(byte('0' + m.below(10)))
	}
	return b.String()
}

func (m *mix) text() string {
	units := []string{"ns", "us", "\u00b5s", "\u03bcs", "ms", "s", "s", "m", "m", "h", "h"}
	garbage := []string{" ", "-", "+", "d", "H", ".", "_", "e", "0", "", "S", "\u00b5", "\x00"}
	var b strings.Builder
	if m.below(4) == 0 {
		b.WriteString(m.pick([]string{"-", "-", "+"}))
	}
	for parts := 1 + m.below(4); parts > 0; parts-- {
		switch m.below(8) {
		case 0:
			b.WriteString("." + m.digits(12))
		case 1:
			b.WriteString(m.digits(4) + ".")
		case 2, 3:
			b.WriteString(m.digits(6) + "." + m.digits(20))
		case 4:
			b.WriteString(m.digits(19))
		default:
			b.WriteString(m.digits(5))
		}
		b.WriteString(m.pick(units))
		if m.below(12) == 0 {
			b.WriteString(m.pick(garbage))
		}
	}
	return b.String()
}

// JSON text in ASCII: \u-escapes for all that is not printable ASCII.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		default:
			for _, u := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04x`, u)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}

func main() {
	texts := append([]string(nil), corners...)
	seen := map[string]bool{}
	for _, t := range texts {
		if seen[t] {
			panic("twice in the list: " + strconv.Quote(t))
		}
		seen[t] = true
	}
	seed := mix(20240801)
	for random := 0; random < 100; {
		t := seed.text()
		if seen[t] {
			continue
		}
		seen[t] = true
		texts = append(texts, t)
		random++
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprint(out, "[\n")
	for i, t := range texts {
		value := "null"
		if d, err := time.ParseDuration(t); err == nil {
			value = strconv.FormatInt(int64(d), 10)
		}
		end := ",\n"
		if i == len(texts)-1 {
			end = "\n"
		}
		fmt.Fprintf(out, "[%s, %s]%s", quoted(t), value, end)
	}
	fmt.Fprint(out, "]\n")
}
