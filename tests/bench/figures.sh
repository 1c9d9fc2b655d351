# How the parts of tests/bench/run take times and print them. Sourced; times are in microseconds, a
# line each, in files of $WORK.

now_us() { echo $(($(date +%s%N) / 1000)); }

# time_of FILE COMMAND...: appends the wall time.
time_of() {
  local file=$WORK/$1 before
  shift
  before=$(now_us)
  "$@" >"$WORK/out" 2>&1 </dev/null || { echo "failed: $*" >&2; tail -n 5 "$WORK/out" >&2; return 1; }
  echo $(($(now_us) - before)) >>"$file"
}
# row NAME FILE
row() {
  [ -s "$WORK/$2" ] || return 0
  sort -n "$WORK/$2" | awk -v name="$1" '{v[NR] = $1 / 1000} END {
    printf "%-26s n=%-4d min %9.2f ms  p50 %9.2f ms  p99 %9.2f ms  max %9.2f ms\n",
      name, NR, v[1], v[int((NR + 1) / 2)], v[int((NR * 99 + 99) / 100)], v[NR]}'
}
# ratio NAME FILE FILE
ratio() {
  [ -s "$WORK/$2" ] && [ -s "$WORK/$3" ] || return 0
  paste <(sort -n "$WORK/$2") <(sort -n "$WORK/$3") | awk -v name="$1" '{a[NR] = $1; b[NR] = $2} END {
    m = int((NR + 1) / 2); printf "%-26s %.2f\n", name, a[m] / b[m]}'
}
