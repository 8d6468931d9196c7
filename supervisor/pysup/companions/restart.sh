# restart.sh --user|--system APP PAUSE IDLE REASON UNIT…
# Restarts units of an app that are up (or failed, or in the state IDLE) one after the other, each once the one before
# it is ready and has lived for PAUSE seconds; stops at the first that does not come up. The journal has REASON among
# systemd's words about the unit. Holds the lock that "pysup reload" takes, so that the two do not meet.
manager=$1 app=$2 pause=$3 idle=$4 reason=$5
shift 5

show() { systemctl "$manager" show --property="$1" --value "$2"; }

say() { # UNIT PRIORITY TEXT [MORE FIELDS]
    [ "$manager" = --user ] && field=USER_UNIT || field=UNIT
    printf '%s=%s\nPRIORITY=%s\nSYSLOG_IDENTIFIER=pysup-%s\nMESSAGE=%s: %s\n%s' "$field" "$1" "$2" "$app" "$1" "$3" "$4" |
        logger --journald || printf '%s: %s\n' "$1" "$3"
}

asked() { # UNIT: fields by which "pysup events" knows it, see deeds.py
    number=${1##*@}
    printf '%s=%s\n' MESSAGE_ID c0d7b1f2a3e84d5f9a6be1c47d20f853 PYSUP_EVENT asked PYSUP_SCOPE "${manager#--}" \
        PYSUP_APP "$app" PYSUP_VERB restart PYSUP_INSTANCES "${number%.service}" PYSUP_WHY "$reason" PYSUP_BY ''
}

case $manager in --user) locks=${XDG_RUNTIME_DIR:?}/pysup ;; *) locks=/run/pysup ;; esac
umask 077 # who may open the lock may hold it
mkdir -p "$locks" && exec 9>>"$locks/$app.reload" && flock 9 || exit 1

for unit; do
    state=$(show ActiveState "$unit")
    [ "$state" != deactivating ] || continue
    [ "$state" != inactive ] || [ "$idle" = inactive ] || continue
    say "$unit" 5 "restarting, because $reason" "$(asked "$unit")
"
    systemctl "$manager" reset-failed "$unit" 2>/dev/null
    case $state in failed | inactive) verb=start ;; *) verb=try-restart ;; esac # who is stopped just now stays so
    systemctl "$manager" "$verb" "$unit" && sleep "$pause"
    case $(show ActiveState "$unit")$(show NRestarts "$unit") in active0 | inactive* | deactivating*) continue ;; esac
    say "$unit" 3 "it did not come up again; what comes after it was left as it is" ''
    exit 1
done
