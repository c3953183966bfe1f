# bash completion of rpc-weighter, made by `rpc-weighter manual bash`.
_rpc_weighter() {
  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W 'run once scores check health top explain replay drain ready status discover chains -h --help --version' -- "$current"))
    return
  fi
  case "${COMP_WORDS[1]} $before" in
    'run -c' | 'run --config')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'run -b' | 'run --backend')
      :
      return
      ;;
    'run --state')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'run --record')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'once -c' | 'once --config')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'once -b' | 'once --backend')
      :
      return
      ;;
    'once -f' | 'once --format')
      COMPREPLY=($(compgen -W 'table json csv' -- "$current"))
      return
      ;;
    'once --samples')
      :
      return
      ;;
    'once --state')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'scores -c' | 'scores --config')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'scores -b' | 'scores --backend')
      :
      return
      ;;
    'scores -f' | 'scores --format')
      COMPREPLY=($(compgen -W 'table json csv' -- "$current"))
      return
      ;;
    'scores --samples')
      :
      return
      ;;
    'scores --state')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'check -c' | 'check --config')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'check -b' | 'check --backend')
      :
      return
      ;;
    'health -c' | 'health --config')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'health --url')
      :
      return
      ;;
    'top -c' | 'top --config')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'top --url')
      :
      return
      ;;
    'explain -c' | 'explain --config')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'explain --url')
      :
      return
      ;;
    'explain -b' | 'explain --backend')
      :
      return
      ;;
    'explain -s' | 'explain --server')
      :
      return
      ;;
    'replay -c' | 'replay --config')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'replay -b' | 'replay --backend')
      :
      return
      ;;
    'replay -f' | 'replay --format')
      COMPREPLY=($(compgen -W 'table json csv' -- "$current"))
      return
      ;;
    'drain -c' | 'drain --config')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'drain --wait')
      :
      return
      ;;
    'ready -c' | 'ready --config')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'status -c' | 'status --config')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'status -b' | 'status --backend')
      :
      return
      ;;
    'status -f' | 'status --format')
      COMPREPLY=($(compgen -W 'table json csv' -- "$current"))
      return
      ;;
    'discover --haproxy')
      :
      return
      ;;
    'discover -b' | 'discover --backend')
      :
      return
      ;;
    'discover --ca-file')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'discover --cert-file')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'discover --key-file')
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    'chains -f' | 'chains --format')
      COMPREPLY=($(compgen -W 'table json csv' -- "$current"))
      return
      ;;
  esac
  case ${COMP_WORDS[1]} in
    run) COMPREPLY=($(compgen -W '-h --help -c --config -b --backend -n --dry-run --state --record' -- "$current")) ;;
    once) COMPREPLY=($(compgen -W '-h --help -c --config -b --backend -n --dry-run -f --format --samples --state' -- "$current")) ;;
    scores) COMPREPLY=($(compgen -W '-h --help -c --config -b --backend -f --format --samples --state' -- "$current")) ;;
    check) COMPREPLY=($(compgen -W '-h --help -c --config -b --backend --online' -- "$current")) ;;
    health) COMPREPLY=($(compgen -W '-h --help -c --config --url' -- "$current")) ;;
    top) COMPREPLY=($(compgen -W '-h --help -c --config --url --no-color' -- "$current")) ;;
    explain) COMPREPLY=($(compgen -W '-h --help -c --config --url -b --backend -s --server' -- "$current")) ;;
    replay) COMPREPLY=($(compgen -f -W '-h --help -c --config -b --backend -f --format' -- "$current")) ;;
    drain) COMPREPLY=($(compgen -W '-h --help -c --config -n --dry-run --wait --force' -- "$current")) ;;
    ready) COMPREPLY=($(compgen -W '-h --help -c --config -n --dry-run' -- "$current")) ;;
    status) COMPREPLY=($(compgen -W '-h --help -c --config -b --backend -f --format' -- "$current")) ;;
    discover) COMPREPLY=($(compgen -W '-h --help --haproxy -b --backend --probe --ca-file --cert-file --key-file' -- "$current")) ;;
    chains) COMPREPLY=($(compgen -W '-h --help -f --format' -- "$current")) ;;
  esac
}
complete -o filenames -F _rpc_weighter rpc-weighter
