# hooks.sh exit|start --system|--user PYTHON PYSUP-APP NUMBER
# systemd runs this after each end (ExecStopPost=) and start (ExecStartPost=) of an instance, with what it knows of it in
# the environment. It only decides whether there is something to tell, and has systemd run hooks.py, which does; nobody
# waits for that. At most one end in ten seconds is told of an instance; the others are counted.
what=$1 manager=$2 python=$3 number=$5 id=${4#pysup-}@$5
# The environment is the app's, of which its user may have written a part, and this runs as root.
[ "$manager" = --user ] || { PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin && unset DBUS_SYSTEM_BUS_ADDRESS; }
case $number in *[!0-9]*) exit 0 ;; esac # the spare of a reload
case $manager in --user) state=${XDG_RUNTIME_DIR:?}/pysup/hooks ;; *) state=/run/pysup/hooks ;; esac

is_recent() { [ -n "$(find "$state/$id.$1" -newermt "-$2 seconds" 2>/dev/null)" ]; }

delay=
case $what in
exit)
    [ "$SERVICE_RESULT" != success ] || [ "$EXIT_CODE" = exited ] || exit 0 # it was asked to end, by a signal
    mkdir -p "$state" || exit 0
    [ "$SERVICE_RESULT" = success ] || : >"$state/$id.down"
    if is_recent exit 10; then
        echo >>"$state/$id.skipped"
        exit 0
    fi
    : >"$state/$id.exit"
    ;;
start) # has it recovered? hooks.py looks in ten seconds, and again until it has, or has failed for good
    [ -e "$state/$id.down" ] || exit 0
    ! is_recent waiting 30 || exit 0
    : >"$state/$id.waiting"
    delay=--on-active=10
    ;;
esac
launch() {
    systemd-run "$manager" --quiet --no-block --collect ${delay:+"$delay" --timer-property=AccuracySec=1s} \
        --unit="pysup-hook-$what-$INVOCATION_ID" --description="hooks of $id" \
        --property=RuntimeMaxSec=300 --property=Nice=10 --property=LogLevelMax=notice \
        "$python" -I -B "${0%.sh}.py" "$what" "$manager" "$id" "$INVOCATION_ID" "$SERVICE_RESULT" "$EXIT_CODE" "$EXIT_STATUS"
}
launch || launch || rm -f "$state/$id.exit" "$state/$id.waiting" # then the next one shall be told
