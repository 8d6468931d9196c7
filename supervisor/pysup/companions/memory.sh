# memory.sh --user|--system APP LIMIT SECONDS RESTART PAUSE UNIT…
# Looks every SECONDS at what the control groups of an app's instances hold, in bytes, and has RESTART (restart.sh) restart
# an instance that holds LIMIT or more. What files fill in the kernel's cache, and it can drop at once, is not counted.
# Where the manager has no memory controller, the processes' own pages are added up, shared ones by their share.
# It runs in the slice of the instances; only "sleep" is executed at each look.
manager=$1 app=$2 limit=$3 seconds=$4 restart=$5 pause=$6
shift 6

while IFS=: read -r _ controllers path; do
    case $controllers in
    memory) v1=/sys/fs/cgroup/memory${path%/*} ;;
    name=systemd) named=/sys/fs/cgroup/systemd${path%/*} ;;
    '') unified=${path%/*} ;;
    esac
done </proc/self/cgroup
[ -e /sys/fs/cgroup/cgroup.controllers ] && named=/sys/fs/cgroup$unified

measure() { # UNIT -> held
    held=0 reclaimable=0
    if read -r held 2>/dev/null <"$named/$1/memory.current"; then
        file=$named/$1/memory.stat key=inactive_file
    elif read -r held 2>/dev/null <"$v1/$1/memory.usage_in_bytes"; then
        file=$v1/$1/memory.stat key=total_inactive_file
    else
        held=0
        add "$1"
        return
    fi
    while read -r name value; do
        [ "$name" != "$key" ] || reclaimable=$value
    done <"$file"
    held=$((held - reclaimable))
} 2>/dev/null

add() { # the pages of the unit's processes
    while read -r pid; do
        while read -r name value _; do
            [ "$name" != Pss: ] || held=$((held + value * 1024))
        done <"/proc/$pid/smaps_rollup"
    done <"$named/$1/cgroup.procs"
} 2>/dev/null

while :; do
    for unit; do
        measure "$unit"
        [ "$held" -lt "$limit" ] && continue
        reason="it holds $((held / 1048576))M of memory, above $((limit / 1048576))M"
        /bin/sh "$restart" "$manager" "$app" "$pause" '' "$reason" "$unit"
    done
    sleep "$seconds"
done
