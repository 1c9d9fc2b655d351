# shellcheck shell=bash
install_pinion() { fail 1 "not yet"; }
