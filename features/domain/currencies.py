"""The currencies of ISO 4217 that have a minor unit: its exponent, and roughly how many units make one US dollar.

Exponents: list one of the maintenance agency (SIX Group), published on 2026-01-01; tests/fixtures/iso4217.csv is that
list. Unicode's CLDR has other digits for some, because it says how people write amounts (IDR without decimals).
Units per dollar: orders of magnitude of 2026, in about two significant figures. They never follow the market: a weight
once listed keeps its value, so that a replayed feature equals the served one. Metals, bonds and test codes have no
minor unit and are not among them.
"""

from __future__ import annotations

# code: (exponent of the minor unit, units of the currency for one US dollar)
CURRENCIES: dict[str, tuple[int, str]] = {
    "AED": (2, "3.67"), "AFN": (2, "70"), "ALL": (2, "84"), "AMD": (2, "385"), "AOA": (2, "915"),
    "ARS": (2, "1450"), "AUD": (2, "1.5"), "AWG": (2, "1.8"), "AZN": (2, "1.7"), "BAM": (2, "1.7"), "BBD": (2, "2"),
    "BDT": (2, "120"), "BHD": (3, "0.376"), "BIF": (0, "3000"), "BMD": (2, "1"), "BND": (2, "1.3"),
    "BOB": (2, "6.9"), "BOV": (2, "2.7"), "BRL": (2, "5.5"), "BSD": (2, "1"), "BTN": (2, "85"), "BWP": (2, "13.5"),
    "BYN": (2, "3.2"), "BZD": (2, "2"), "CAD": (2, "1.4"), "CDF": (2, "2500"), "CHE": (2, "0.85"),
    "CHF": (2, "0.85"), "CHW": (2, "0.85"), "CLF": (4, "0.024"), "CLP": (0, "950"), "CNY": (2, "7.2"),
    "COP": (2, "4100"), "COU": (2, "10.5"), "CRC": (2, "505"), "CUP": (2, "120"), "CVE": (2, "100"),
    "CZK": (2, "22"), "DJF": (0, "178"), "DKK": (2, "6.7"), "DOP": (2, "62"), "DZD": (2, "133"), "EGP": (2, "49"),
    "ERN": (2, "15"), "ETB": (2, "150"), "EUR": (2, "0.9"), "FJD": (2, "2.3"), "FKP": (2, "0.77"),
    "GBP": (2, "0.77"), "GEL": (2, "2.7"), "GHS": (2, "11"), "GIP": (2, "0.77"), "GMD": (2, "72"),
    "GNF": (0, "8700"), "GTQ": (2, "7.7"), "GYD": (2, "209"), "HKD": (2, "7.8"), "HNL": (2, "26"),
    "HTG": (2, "131"), "HUF": (2, "360"), "IDR": (2, "16000"), "ILS": (2, "3.6"), "INR": (2, "85"),
    "IQD": (3, "1310"), "IRR": (2, "1000000"), "ISK": (0, "127"), "JMD": (2, "160"), "JOD": (3, "0.709"),
    "JPY": (0, "150"), "KES": (2, "129"), "KGS": (2, "87"), "KHR": (2, "4000"), "KMF": (0, "430"),
    "KPW": (2, "900"), "KRW": (0, "1380"), "KWD": (3, "0.307"), "KYD": (2, "0.83"), "KZT": (2, "520"),
    "LAK": (2, "21600"), "LBP": (2, "89500"), "LKR": (2, "300"), "LRD": (2, "185"), "LSL": (2, "18"),
    "LYD": (3, "5.4"), "MAD": (2, "9.2"), "MDL": (2, "17"), "MGA": (2, "4500"), "MKD": (2, "53"),
    "MMK": (2, "2100"), "MNT": (2, "3560"), "MOP": (2, "8"), "MRU": (2, "40"), "MUR": (2, "46"), "MVR": (2, "15.4"),
    "MWK": (2, "1735"), "MXN": (2, "19"), "MXV": (2, "2.2"), "MYR": (2, "4.4"), "MZN": (2, "64"), "NAD": (2, "18"),
    "NGN": (2, "1550"), "NIO": (2, "37"), "NOK": (2, "10.5"), "NPR": (2, "136"), "NZD": (2, "1.65"),
    "OMR": (3, "0.385"), "PAB": (2, "1"), "PEN": (2, "3.5"), "PGK": (2, "4.2"), "PHP": (2, "57"), "PKR": (2, "280"),
    "PLN": (2, "3.9"), "PYG": (0, "7200"), "QAR": (2, "3.64"), "RON": (2, "4.5"), "RSD": (2, "102"),
    "RUB": (2, "80"), "RWF": (0, "1450"), "SAR": (2, "3.75"), "SBD": (2, "8.3"), "SCR": (2, "14"),
    "SDG": (2, "600"), "SEK": (2, "10.2"), "SGD": (2, "1.33"), "SHP": (2, "0.77"), "SLE": (2, "23"),
    "SOS": (2, "570"), "SRD": (2, "38"), "SSP": (2, "4500"), "STN": (2, "21.5"), "SVC": (2, "8.75"),
    "SYP": (2, "11000"), "SZL": (2, "18"), "THB": (2, "34"), "TJS": (2, "9.5"), "TMT": (2, "3.5"),
    "TND": (3, "3.1"), "TOP": (2, "2.4"), "TRY": (2, "38"), "TTD": (2, "6.8"), "TWD": (2, "32"), "TZS": (2, "2450"),
    "UAH": (2, "41"), "UGX": (0, "3550"), "USD": (2, "1"), "USN": (2, "1"), "UYI": (0, "6.2"), "UYU": (2, "40"),
    "UYW": (4, "23"), "UZS": (2, "12500"), "VED": (2, "250"), "VES": (2, "250"), "VND": (0, "25000"),
    "VUV": (0, "120"), "WST": (2, "2.75"), "XAD": (2, "0.25"), "XAF": (0, "590"), "XCD": (2, "2.7"),
    "XCG": (2, "1.8"), "XOF": (0, "590"), "XPF": (0, "107"), "YER": (2, "500"), "ZAR": (2, "18"), "ZMW": (2, "24"),
    "ZWG": (2, "27"),
}  # fmt: skip
