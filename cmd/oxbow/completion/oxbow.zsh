#compdef oxbow
# Completion of oxbow for zsh: oxbow completion zsh

_oxbow() {
	local -a lines texts shown
	local line text about
	lines=("${(@f)$("${words[1]}" complete zsh -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	for line in "${(@)lines[2,-1]}"; do
		text=${line%%$'\t'*} about=${line#*$'\t'}
		texts+=("$text")
		shown+=("$text${about:+  -- $about}")
	done
	case ${lines[1]} in
	files) compset -P '--*='; _files ;;
	dirs) compset -P '--*='; _files -/ ;;
	esac
	(( $#texts )) && compadd -S '' -l -d shown -- "${(@)texts}"
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
	_oxbow "$@"
else
	compdef _oxbow oxbow
fi
