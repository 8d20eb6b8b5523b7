# Completion of oxbow for bash: oxbow completion bash

_oxbow() {
	local line=${COMP_LINE:0:COMP_POINT} words=() lines=() word first i
	# Bash parts words at = and : too: they are put together again as they were typed.
	for ((i = 0; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		while [[ $line == [[:space:]]* ]]; do
			line=${line:1} first=1
		done
		if ((i == 0)) || [[ -n $first ]]; then
			words+=("$word")
		else
			words[${#words[@]} - 1]+=$word
		fi
		line=${line#"$word"} first=
	done
	((${#words[@]} > 1)) || words+=("")
	mapfile -t lines < <("${words[0]}" complete bash -- "${words[@]:1}" 2>/dev/null)
	local cur=${words[${#words[@]} - 1]}
	cur=${cur##*[=:]}
	COMPREPLY=()
	case ${lines[0]} in
	files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	dirs) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
	esac
	for word in "${lines[@]:1}"; do
		COMPREPLY+=("${word%%$'\t'*}")
	done
	# What may go on gets no blank behind it.
	if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[/=:] ]]; then
		compopt -o nospace
	fi
}

complete -F _oxbow oxbow
