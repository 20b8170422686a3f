// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AIUSD} from "../src/AIUSD.sol";
import {Authority} from "../src/Authority.sol";
import {Roles} from "../src/Roles.sol";

/// @notice The cheat codes of a script that is sent to a chain.
interface Broadcast {
    function envAddress(string calldata name) external view returns (address);
    function startBroadcast() external;
    function stopBroadcast() external;
}

/// @title Puts aiUSD and its authority on a chain, roles given out, the deployer left with nothing.
/// @dev `python -m contracts forge script script/DeployAIUSD.s.sol --rpc-url … --broadcast` with the
/// holders' addresses in AIUSD_ADMIN, AIUSD_MINTER, AIUSD_BURNER, AIUSD_PAUSER and AIUSD_FREEZER.
contract DeployAIUSD {
    /// @notice Who gets which role.
    struct Holders {
        address admin;
        address minter;
        address burner;
        address pauser;
        address freezer;
    }

    /// @notice Deploy with the holders that the environment names.
    function run() external returns (Authority authority, AIUSD coin) {
        Broadcast cheat = Broadcast(address(uint160(uint256(keccak256("hevm cheat code")))));
        Holders memory holders = Holders({
            admin: cheat.envAddress("AIUSD_ADMIN"),
            minter: cheat.envAddress("AIUSD_MINTER"),
            burner: cheat.envAddress("AIUSD_BURNER"),
            pauser: cheat.envAddress("AIUSD_PAUSER"),
            freezer: cheat.envAddress("AIUSD_FREEZER")
        });
        cheat.startBroadcast();
        authority = new Authority(msg.sender);
        coin = new AIUSD(address(authority));
        giveRoles(authority, coin, holders, msg.sender);
        cheat.stopBroadcast();
    }

    /// @notice Give every role to its holder, and the caller's own power over the authority away.
    /// @dev The caller is this contract, or in a script the account that sends its transactions.
    function giveRoles(Authority authority, AIUSD coin, Holders memory holders, address deployer) public {
        _open(authority, coin, AIUSD.mint.selector, Roles.MINTER, "aiUSD minter", holders.minter);
        _open(authority, coin, AIUSD.burn.selector, Roles.BURNER, "aiUSD burner", holders.burner);
        _open(authority, coin, AIUSD.pause.selector, Roles.PAUSER, "aiUSD pauser", holders.pauser);
        _assign(authority, coin, AIUSD.unpause.selector, Roles.PAUSER);
        _open(authority, coin, AIUSD.freeze.selector, Roles.FREEZER, "aiUSD freezer", holders.freezer);
        _assign(authority, coin, AIUSD.unfreeze.selector, Roles.FREEZER);
        authority.grantRole(authority.ADMIN_ROLE(), holders.admin, 0);
        authority.renounceRole(authority.ADMIN_ROLE(), deployer);
    }

    function _open(
        Authority authority,
        AIUSD coin,
        bytes4 selector,
        uint64 role,
        string memory label,
        address holder
    ) private {
        authority.labelRole(role, label);
        _assign(authority, coin, selector, role);
        authority.grantRole(role, holder, 0);
    }

    function _assign(Authority authority, AIUSD coin, bytes4 selector, uint64 role) private {
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = selector;
        authority.setTargetFunctionRole(address(coin), selectors, role);
    }
}
