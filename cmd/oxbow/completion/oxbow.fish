# Completion of oxbow for fish: oxbow completion fish

function __oxbow_complete
	set -l words (commandline -opc) (commandline -ct)
	set -l lines ($words[1] complete fish -- $words[2..-1] 2>/dev/null)
	set -l current (string replace -r '^--[^=]*=' '' -- $words[-1])
	set -l before (string match -r '^(?:--[^=]*=)?' -- $words[-1])
	switch "$lines[1]"
		case files
			for path in (__fish_complete_path $current)
				echo $before$path
			end
		case dirs
			for path in (__fish_complete_directories $current)
				echo $before$path
			end
	end
	test (count $lines) -gt 1; and printf '%s\n' $lines[2..-1]
end

complete -c oxbow -f -a '(__oxbow_complete)'
